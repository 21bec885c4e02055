"""The differences that are explained: oracle/explained.json, read and applied.

    {"cause": "…", "side": "HAPI", "rule": "regular expression", "text": "…", "path": "…", "case": "…",
     "source": "https://…#paragraph", "why": "…"}

`side` is who says the error that the other doesn't; `rule` (whole), `text`, `path` and `case` (anywhere) narrow it.
`seed` is that of the run which met it, when the recorded one did not.
`source` is the paragraph that proves us right, and `why` says how: a difference in which HAPI is right is a fault of
ours, to be mended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from oracle.compare import Difference

FILE = Path(__file__).parent / "explained.json"


@dataclass(frozen=True)
class Explanation:
    cause: str
    side: str
    rule: str
    source: str
    why: str
    text: str = ""
    path: str = ""
    case: str = ""
    seed: int | None = None

    def fits(self, each: Difference) -> bool:
        return (
            each.side == self.side
            and re.fullmatch(self.rule, each.error.rule) is not None
            and re.search(self.text, each.error.text) is not None
            and re.search(self.path, each.error.path) is not None
            and re.search(self.case, each.case) is not None
        )


def explanations() -> list[Explanation]:
    return [Explanation(**each) for each in json.loads(FILE.read_text("utf-8"))]


def explain(difference: Difference, known: list[Explanation]) -> Explanation | None:
    return next((each for each in known if each.fits(difference)), None)
