"""Stage 3: how the caller was authenticated, and how sure the patient's identity is (AR-15 to AR-20, AR-87)."""

from __future__ import annotations

from dmp_fhir.policy.actions import CONSENT_ACTS, CONSULTATION, FEEDING, VISIBILITY, Action
from dmp_fhir.policy.relation import PATIENT_SIDE, PROFESSIONALS, SYSTEMS
from dmp_fhir.policy.rules.base import Asked, Effect, Rule

_LOOKING = CONSULTATION | {Action.RECORD_READ, Action.CONSENT_READ, Action.AUDIT_READ_FULL}


def _feeder_only(category: str, rule: str, also: tuple[str, ...], fr: str, en: str) -> Rule:
    return Rule(
        id=rule,
        effect=Effect.DENY,
        source="guide TD3.1b",
        fr=fr,
        en=en,
        actions=_LOOKING | VISIBILITY | CONSENT_ACTS,
        when=lambda asked: asked.context.actor_category == category,
        reason="AUTH_MODE_INSUFFISANT",
        public=True,
        also=also,
    )


def _indirect(asked: Asked) -> bool:
    return asked.context.actor_category in PROFESSIONALS and asked.context.auth_mode not in ("CPS", "AIR")


def _may_not_change_visibility(asked: Asked) -> bool:
    modes = ("CPS", "AIR") if asked.settings.indirect_visibility else ("CPS",)
    return asked.context.actor_category in PROFESSIONALS and asked.context.auth_mode not in modes


AUTHENTICATION = (
    _feeder_only(
        "STRUCTURE",
        "AR-87",
        ("AR-17",),
        "Un compte de structure alimente le dossier et gère ses dépôts ; il ne consulte pas.",
        "A structure account feeds the record and manages its deposits; it does not consult.",
    ),
    _feeder_only(
        "CPE",
        "AR-16",
        (),
        "Une carte de personnel d'établissement permet d'alimenter, pas de consulter.",
        "A staff card allows feeding, not consulting.",
    ),
    Rule(
        id="AR-15",
        effect=Effect.DENY,
        source="guide TD3.1b",
        fr="Consulter demande une authentification personnelle : CPS, e-CPS, Pro Santé Connect, ou AIR.",
        en="Consulting needs a personal authentication: CPS, e-CPS, Pro Santé Connect, or AIR.",
        actions=_LOOKING | CONSENT_ACTS,
        when=_indirect,
        reason="AUTH_MODE_INSUFFISANT",
        public=True,
    ),
    Rule(
        id="AR-18",
        effect=Effect.DENY,
        source="volet Transmission CDA en HL7 v2",
        fr="Changer la visibilité d'un document demande une authentification directe (CPS, e-CPS, Pro Santé Connect).",
        en="Changing the visibility of a document needs direct authentication (CPS, e-CPS, Pro Santé Connect).",
        actions=VISIBILITY,
        when=_may_not_change_visibility,
        reason="AUTH_MODE_INSUFFISANT",
        public=True,
        also=("D21",),
    ),
    Rule(
        id="AR-19",
        effect=Effect.DENY,
        source="volet Transmission CDA en HL7 v2",
        fr="L'INS doit être qualifiée pour alimenter, remplacer ou supprimer.",
        en="The INS must be qualified to feed, replace or delete.",
        actions=frozenset({Action.DOC_CREATE, Action.DOC_REPLACE, Action.DOC_DELETE, Action.FOLDER_WRITE}),
        when=lambda asked: (
            asked.context.actor_category not in PATIENT_SIDE | SYSTEMS and asked.context.ins_status != "QUALIFIEE"
        ),
        reason="INS_NON_QUALIFIEE",
        public=True,
        status=422,
    ),
    Rule(
        id="AR-83",
        effect=Effect.DENY,
        source="guide LIB (GestionMineurs)",
        fr="La connexion secrète n'existe que pour les mineurs.",
        en="Secret connection only exists for minors.",
        actions=_LOOKING | VISIBILITY | CONSENT_ACTS | FEEDING,
        when=lambda asked: asked.context.secret and (asked.standing.adult(asked.now_ms) or not asked.settings.minors),
        reason="SECRET_MAJEUR",
    ),
    Rule(
        id="AR-89",
        effect=Effect.DENY,
        source="CSP L1111-17 III; CE 490409",
        fr="L'accès des professionnels du social et du médico-social n'est pas ouvert dans ce registre.",
        en="Access by social and medico-social professionals is not open in this registry.",
        actions=_LOOKING | VISIBILITY | CONSENT_ACTS,
        when=lambda asked: asked.context.actor_category == "PS_ROLE" and not asked.settings.role_professionals,
        reason="ACTEUR_NON_HABILITE",
        public=True,
    ),
)
