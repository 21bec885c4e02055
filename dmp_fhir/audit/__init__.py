"""The trace: every act of anyone, refusals included, in the transaction of the act (R1111-43, AR-96)."""
