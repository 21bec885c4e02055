"""INS-C, the number computed from the Vitale card by which records were known until the NIR became the INS.

Only to read data of that time: an INS-C never names a record here (identifiers.py, parse_ins). Source: the computation
of the ASIP Santé guide (2009), as public implementations have it; the tests hold a published vector.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256

_BIRTH = re.compile(r"[0-9]{6}")
_BODY = re.compile(r"[12][0-9]{4}(?:2[AB]|[0-9]{2})[0-9]{6}")
_NAME_LENGTH = 10


def ins_c(first_name: str, birth: str, nir: str) -> str:
    """The 22 digits of an INS-C: 20 of the number, 2 of its key.

    `first_name` is that of the Vitale card; `birth` is YYMMDD, `000000` when unknown, lunar dates corrected before;
    `nir` the 13 characters, without key, of the person's certified NIR. ValueError for another form.

    >>> ins_c("Jean", "550101", "1680172181372")
    '0803027695502382121519'
    """
    if _BIRTH.fullmatch(birth) is None:
        raise ValueError("a birth date is YYMMDD, in digits")
    if _BODY.fullmatch(nir) is None:
        raise ValueError("a NIR has 13 characters here: without its key")
    seed = _name(first_name) + birth + nir
    number = int.from_bytes(sha256(seed.encode("ascii")).digest()[:8])
    return f"{number:020d}{97 - number % 97:02d}"


def is_ins_c(value: str) -> bool:
    """Whether `value` is 22 digits with the right key."""
    if re.fullmatch("[0-9]{22}", value) is None:
        return False
    return f"{97 - int(value[:20]) % 97:02d}" == value[20:]


def _name(first_name: str) -> str:
    """Ten capitals: accents and what is no letter left out, cut, or filled up with blanks."""
    plain = unicodedata.normalize("NFKD", first_name.replace("œ", "oe").replace("Œ", "OE").replace("æ", "ae"))
    letters = "".join(each for each in plain.upper() if "A" <= each <= "Z")
    return letters[:_NAME_LENGTH].ljust(_NAME_LENGTH)
