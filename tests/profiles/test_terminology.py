from __future__ import annotations

import pytest

from dmp_fhir.canonicals import LOINC, TRE_A07, TRE_A08, TRE_G15, V3_CONFIDENTIALITY
from dmp_fhir.profiles.terminology import (
    code_list,
    is_confidentiality,
    is_visibility,
    label_display,
    profession_display,
    profession_is_active,
    type_display,
    type_is_known,
)


def test_document_types():
    assert type_is_known(LOINC, "11488-4")
    assert type_display(LOINC, "11502-2") == "CR d'examens biologiques"
    assert not type_is_known(LOINC, "99999-9")
    assert not type_is_known("urn:x", "11488-4")
    assert type_display(LOINC, "99999-9") is None


@pytest.mark.parametrize(
    ("name", "count"), [("JDV_J07", 123), ("JDV_J66", 108), ("TRE_A07", 5), ("TRE_A08", 3), ("TRE_G15", 30)]
)
def test_lists_are_whole(name, count):
    listed = code_list(name)
    assert sum(len(codes) for group in (listed.codes, listed.retired) for codes in group.values()) == count
    assert listed.url.startswith("https://mos.esante.gouv.fr/NOS/" + name)
    assert listed.version


@pytest.mark.parametrize("system", [TRE_A08, V3_CONFIDENTIALITY])
@pytest.mark.parametrize("code", ["N", "R", "V"])
def test_one_confidentiality_under_two_systems(system, code):
    assert is_confidentiality(system, code)
    assert not is_visibility(system, code)
    assert label_display(system, code) == {"N": "Normal", "R": "Restreint", "V": "Très restreint"}[code]


def test_masks():
    assert is_visibility(TRE_A07, "MASQUE_PS")
    assert not is_visibility(TRE_A08, "MASQUE_PS")
    assert label_display(TRE_A07, "MASQUE_PS") == "Masqué aux professionnels de santé"
    assert label_display("urn:x", "N") is None


def test_professions():
    assert profession_display("10") == "Médecin"
    assert profession_is_active("60")
    assert profession_display("93") == "Psychologue"
    assert not profession_is_active("93")
    assert code_list("TRE_G15").has(TRE_G15, "21")


def test_a_list_we_do_not_have():
    with pytest.raises(KeyError):
        code_list("JDV_J99")
