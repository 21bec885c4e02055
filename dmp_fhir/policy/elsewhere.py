"""Rules of the book that are no condition of their own: where each is carried out, or why it is left out.

With those of `policy/rules`, they are all of AR-01 to AR-99 (tests/policy/test_document.py).
"""

from __future__ import annotations

from types import MappingProxyType

CARRIED_OUT = MappingProxyType(
    {
        "AR-05": "The order of the stages: `policy/engine.py`.",
        "AR-06": "How a refusal is answered: `policy/refusals.py`; reasons go to the trace only.",
        "AR-10": "Erasure ten years after the closing, or on request by the next run of the jobs, well within three"
        " months: `jobs.py`, `registry/lifecycle.py`, `dmp-fhir record erase`.",
        "AR-11": "Reopening: permitted by AR-09. What opens the record ended at the closing: authorisations, teams, the"
        " treating physician's status, helpers, emergency grants; blocks, opposition and preferences are still there"
        " (`registry/lifecycle.py`).",
        "AR-26": "Outside the declared care team a professional's authorisation lasts a day unless it states its end:"
        " `registry/consents.py`.",
        "AR-29": "Authorisations are looked at for consultation only: feeding leaves the stages before (AR-93).",
        "AR-31": "Coordinating physicians of an EHPAD: only an authorisation given to the person counts"
        " (`policy/relation.py`).",
        "AR-41": "A block also stops emergencies: it comes before the relation.",
        "AR-42": "A blocked professional feeds and manages their own deposits: feeding comes before the block.",
        "AR-44": "A block of the structure: `policy/relation.py`.",
        "AR-45": "A blocked author finds the technical id of their deposits (TD3.1b), not their content.",
        "AR-51": "Messages and review queue of emergencies: obligations, `interactions/duties.py`, `dmp-fhir review`.",
        "AR-52": "Break-glass declared by somebody who has access: the relation comes first; named in the trace.",
        "AR-59": "The author's exemption is part of AR-58 and AR-60.",
        "AR-62": "Default masking: the obligation LABEL_MASQUE_PS of a deposit (`interactions/submitting.py`).",
        "AR-68": "Masks cumulate: each is a rule for its own audience.",
        "AR-69": "Archiving by the author: permit of stage 4; archived documents are left out of default lists by the"
        " search, not by a rule of access.",
        "AR-71": "Replacing by the author: permit of stage 4; a patient's mask passes on to the new version.",
        "AR-72": "A superseded document is read by those entitled, when asked for by status (D13, D28).",
        "AR-74": "The patient's side changes only what came from it: AR-70.",
        "AR-77": "Documents de gestion: cells of the habilitation matrix (AR-58).",
        "AR-81": "A protection mandate makes a representative of an adult: `policy/standing.py`.",
        "AR-82": "Secret connection: obligations LABEL_INVISIBLE_RL and AUDIT_SECRET, no message to representatives.",
        "AR-88": "Biologists, radiologists and pharmacists feed like any author (AR-93) and read by AR-21 and AR-58.",
        "AR-91": "The health insurance feeds its own types: AR-75 and AR-93.",
        "AR-96": "Every act leaves a trace, refusals too: `audit/`, `interactions/gate.py`.",
        "AR-99": "Entries made in secret, or about what the reader cannot see, are left out of the history:"
        " `policy/predicate.py` (audit).",
    }
)
LEFT_OUT = MappingProxyType(
    {
        "AR-20": "The log-in of patients belongs to the portal (sessions, one-time codes), not to the rules of access.",
        "AR-95": "The duty to feed on the day of the act binds the feeder; a registry that refused a late document"
        " would only lose it.",
    }
)
NOTES = (
    "AR-25: a team's presumption ends twelve months after its latest use: consulting as its member moves the end of the"
    " consent, at most once a month (`registry/consents.py`, `renew_teams`). An end that the patient stated stays.",
    "AR-58: professionals in training (TRE_G16: students, residents) are read as a role whose row, G16, opens nothing:"
    " they feed, and see what they are author of. An operator's matrix may open more to them.",
)
