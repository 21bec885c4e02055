"""The other side: is a client software right? A recorder stands between it and a server, and judges what it asks.

`recording.py` forwards and keeps, `expectations.py` reads `profiles.yaml` and judges, `report.py` tells.
"""
