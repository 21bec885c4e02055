"""Tables, transactions and payloads: the only place that knows which database is below."""
