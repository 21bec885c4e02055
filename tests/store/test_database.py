from dmp_fhir.store.database import Database

def test_x(database: Database) -> None:
    with database.transaction() as tx:
        tx.insert("ins", {"system": "s", "value": "v%", "record_id": "r"})
        assert not tx.claim("ins", {"system": "s", "value": "v%", "record_id": "r"})
    with database.snapshot() as r:
        assert r.rows("SELECT value, '%::x' FROM ins WHERE value LIKE 'v%' AND system = :s", {"s": "s"}) == [("v%", "%::x")]
