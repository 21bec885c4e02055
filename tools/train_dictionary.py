"""Train a compression dictionary for resource bodies (store/bodies.py) from the demonstration world.

`python tools/train_dictionary.py NUMBER` writes dmp_fhir/store/bodies-NUMBER.zdict. A number is used once: bodies name
the dictionary they were packed with, so a shipped file is never changed or removed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import zstandard

from dmp_fhir.app import build_services
from dmp_fhir.cli.loading import Loader, world_files
from dmp_fhir.settings import Settings
from dmp_fhir.store import schema
from dmp_fhir.store.bodies import LEVEL, event_place, open_body, version_place

SIZE = 40_960
FIRST_ID = 0x646D7000  # far from the ranges that RFC 8878 keeps for registered dictionaries


def bodies() -> list[bytes]:
    """Every body that the registry stores when the world is fed to it: resources and their trace."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_folder=Path(folder))
        schema.upgrade(settings.database)
        services = build_services(settings)
        Loader(services, None).load(world_files())
        with services.database.snapshot() as reader:
            found = [
                open_body(reader.keys, record_id, version_place(record_id, kind, name, version), body)
                for record_id, kind, name, version, body in reader.rows(
                    "SELECT record_id, resource_type, resource_id, version, body FROM resource_version"
                )
            ]
            found += [
                open_body(reader.keys, record_id, event_place(record_id, name), body)
                for record_id, name, body in reader.rows("SELECT record_id, id, body FROM audit_event")
            ]
        services.database.close()
    return found


def main() -> None:
    number = int(sys.argv[1])
    target = Path(__file__).parents[1] / "dmp_fhir" / "store" / f"bodies-{number}.zdict"
    if target.exists():
        sys.exit(f"{target.name} was shipped already: take the next number")
    samples = bodies()
    dictionary = zstandard.train_dictionary(SIZE, samples, level=LEVEL, dict_id=FIRST_ID + number)
    target.write_bytes(dictionary.as_bytes())
    packer = zstandard.ZstdCompressor(level=LEVEL, dict_data=dictionary, write_checksum=True)
    plain = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    total = sum(map(len, samples))
    print(f"{len(samples)} bodies, {total} bytes; without dictionary 1/{_ratio(plain, samples):.1f},", end=" ")
    print(f"with {target.name} 1/{_ratio(packer, samples):.1f}")


def _ratio(packer: zstandard.ZstdCompressor, samples: list[bytes]) -> float:
    return sum(map(len, samples)) / sum(len(packer.compress(each)) for each in samples)


if __name__ == "__main__":
    main()
