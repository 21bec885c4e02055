"""Definitions of the operations of this server, contained in its CapabilityStatement.

https://hl7.org/fhir/R4/operationdefinition.html
"""

from __future__ import annotations

from typing import Any

from dmp_fhir import __version__
from dmp_fhir.canonicals import PROJECT

Tree = dict[str, Any]

# Defined by HL7: https://hl7.org/fhir/R4/resource-operation-validate.html
VALIDATE = "http://hl7.org/fhir/OperationDefinition/Resource-validate"


def _given(name: str, kind: str, fr: str, en: str) -> Tree:
    return {"name": name, "use": "in", "min": 0, "max": "1", "documentation": f"{fr} — {en}", "type": kind}


def _answered(name: str, most: str, fr: str, en: str, *parts: Tree, kind: str | None = None) -> Tree:
    answered: Tree = {"name": name, "use": "out", "min": 0, "max": most, "documentation": f"{fr} — {en}"}
    return answered | ({"type": kind} if kind else {}) | ({"part": list(parts)} if parts else {})


_LINE = (
    _answered("category", "1", "Catégorie d'acteur", "Category of actor", kind="code"),
    _answered("profession", "1", "Profession (TRE_G15) ou rôle", "Profession (TRE_G15) or role", kind="code"),
    _answered("situation", "1", "Situation dans le dossier", "Situation in the record", kind="code"),
    _answered("allowed", "1", "Autorisé ou non", "Allowed or not", kind="boolean"),
    _answered("reason", "1", "Motif du refus", "Reason of the refusal", kind="code"),
    _answered("rule", "*", "Règles qui décident", "Rules that decide", kind="code"),
    _answered(
        "confidence",
        "1",
        "Certitude de la case de la matrice : confirmed, partial, unverified",
        "How sure the cell of the matrix is: confirmed, partial, unverified",
        kind="code",
    ),
    _answered("obligation", "*", "Ce qui accompagne l'acte", "What goes with the act", kind="code"),
)
_TEXT = _answered("text", "1", "Phrase en français, traduite", "Sentence in French, translated", kind="string")

EXPLAIN_ACCESS: Tree = {
    "resourceType": "OperationDefinition",
    "id": "explain-access",
    "url": f"{PROJECT}/OperationDefinition/explain-access",
    "version": __version__,
    "name": "ExplainAccess",
    "title": "Expliquer les droits d'accès / Explain access rights",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "explain-access",
    "description": "Qui peut faire quoi sur ce dossier ou ce document, et par quelle règle : pour le patient et son"
    " représentant légal, sur leur dossier ; dans le bac à sable, pour l'exploitant qui essaie une persona. — Who may"
    " do what with this record or document, and by which rule: for the patient and their legal representative, about"
    " their own record; in the sandbox, for the operator who tries a persona.",
    "resource": ["Patient", "DocumentReference"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        _given(
            "actor-category",
            "code",
            "Catégorie d'acteur interrogée (PS par défaut) ; sans aucun paramètre, le demandeur lui-même",
            "Category of actor asked about (PS by default); without any parameter, the caller",
        ),
        _given("profession", "code", "Profession TRE_G15, ou rôle", "TRE_G15 profession, or role"),
        _given("purpose", "code", "Finalité : normal, bris_de_glace, centre_15…", "Purpose: normal, bris_de_glace…"),
        _given(
            "professional",
            "Identifier",
            "Un professionnel en particulier (en GET : système|valeur)",
            "One professional in particular (with GET: system|value)",
        ),
        _given("structure", "code", "Struct_IdNat où il exerce", "Struct_IdNat where they act"),
        _given("persona", "code", "Bac à sable : persona essayée", "Sandbox: the persona to try"),
        _answered("subject", "1", "Le dossier ou le document", "The record or document", kind="Reference"),
        _answered("instant", "1", "Instant de la décision", "Instant of the decision", kind="instant"),
        _answered("matrix", "1", "Matrice en vigueur", "Matrix in force", kind="string"),
        _answered(
            "answer",
            "*",
            "Un acte et sa décision",
            "An act and its decision",
            _answered("action", "1", "Acte", "Act", kind="code"),
            *_LINE,
        ),
        _answered(
            "reader",
            "*",
            "Qui peut voir ce document, par profession et situation",
            "Who can see this document, by profession and situation",
            *_LINE,
        ),
        _answered(
            "situation",
            "*",
            "Les situations citées",
            "The situations named",
            _answered("code", "1", "Code", "Code", kind="code"),
            _TEXT,
        ),
        _answered(
            "rule",
            "*",
            "Les règles citées",
            "The rules named",
            _answered("coding", "1", "Identifiant de la règle", "Id of the rule", kind="Coding"),
            _answered("effect", "1", "permit ou deny", "permit or deny", kind="code"),
            _TEXT,
        ),
    ],
}

_COLUMN = (
    ("date", "instant", "Instant de l'acte", "When"),
    (
        "actorType",
        "code",
        "professional, facility, patient, representative, helper, support, third-party, unknown",
        "Kind",
    ),
    ("actorName", "string", "Nom de l'auteur", "Who"),
    ("actorProfession", "string", "Profession et spécialité", "Profession and specialty"),
    ("structureName", "string", "Structure", "Organisation"),
    ("accessMode", "code", "normal, bris_de_glace, centre_15, secret", "Mode of access"),
    ("action", "string", "Ce qui a été fait", "What was done"),
    ("documentTitle", "string", "Titre du document, si le lecteur peut le voir", "Title, if the reader may see it"),
    ("outcome", "code", "done, refused, error", "Outcome"),
    ("reason", "string", "Motif d'un accès d'urgence, ou d'un refus", "Motive of an emergency, or reason of a refusal"),
    ("eventId", "string", "Identifiant de la trace (AuditEvent)", "Id of the AuditEvent"),
    ("sentence", "string", "La phrase à lire", "The sentence to read"),
)
ACCESS_HISTORY: Tree = {
    "resourceType": "OperationDefinition",
    "id": "access-history",
    "url": f"{PROJECT}/OperationDefinition/access-history",
    "version": __version__,
    "name": "AccessHistory",
    "title": "Historique des accès / History of accesses",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "access-history",
    "description": "Qui a consulté, alimenté ou modifié le dossier, quand et pourquoi, en phrases, du plus récent au"
    " plus ancien : tout pour le patient, son représentant et le médecin traitant, ses propres actes pour un autre"
    " professionnel. Aussi en text/csv et text/plain. — Who looked into the record, fed or changed it, when and why, in"
    " sentences, newest first; also as text/csv and text/plain.",
    "resource": ["Patient"],
    "system": False,
    "type": True,
    "instance": True,
    "parameter": [
        _given("start", "date", "Premier jour ou instant", "First day or instant"),
        _given("end", "date", "Dernier jour ou instant", "Last day or instant"),
        _given("actor-type", "code", "Genres d'acteurs, séparés par des virgules", "Kinds of actors, with commas")
        | {"max": "*"},
        _given("_count", "integer", "Lignes par page, 200 au plus", "Lines per page, at most 200"),
        _given("page", "string", "Suite, telle que donnée par next", "What follows, as given by next"),
        _answered("total", "1", "Nombre de lignes", "Number of lines", kind="integer"),
        _answered("next", "1", "Adresse de la page suivante", "Address of the next page", kind="uri"),
        _answered(
            "entry",
            "*",
            "Une ligne",
            "A line",
            *(_answered(name, "1", fr, en, kind=kind) for name, kind, fr, en in _COLUMN),
        ),
    ],
}


def _proof(code: str, title: str, description: str, *parameters: Tree, instance: bool = False) -> Tree:
    return {
        "resourceType": "OperationDefinition",
        "id": code,
        "url": f"{PROJECT}/OperationDefinition/{code}",
        "version": __version__,
        "name": "".join(each.capitalize() for each in code.split("-")),
        "title": title,
        "status": "active",
        "kind": "operation",
        "affectsState": False,
        "code": code,
        "description": description,
        "resource": ["AuditEvent"],
        "system": False,
        "type": not instance,
        "instance": instance,
        "parameter": list(parameters),
    }


def _head(name: str, fr: str, en: str) -> Tree:
    return _answered(
        name,
        "1",
        fr,
        en,
        _answered("text", "1", "Ce qui est signé : origine, taille, racine, instant", "What is signed", kind="string"),
        _answered("key", "1", "Clé (kid) de .well-known/audit-keys", "Key (kid)", kind="string"),
        _answered("signature", "1", "Signature Ed25519", "Ed25519 signature", kind="base64Binary"),
    )


_PATH = _answered("path", "*", "Empreintes du chemin (RFC 9162)", "Hashes of the path (RFC 9162)", kind="base64Binary")
PROOFS: tuple[Tree, ...] = (
    _proof(
        "inclusion-proof",
        "Preuve d'inclusion d'une trace / Inclusion proof of an entry of the trace",
        "La trace est une feuille du journal signé ; pour qui peut la lire. — The entry is a leaf of the signed log;"
        " for whoever may read it.",
        _answered("entry", "1", "Ligne dont l'empreinte est la feuille", "Line whose hash is the leaf", kind="string"),
        _answered("index", "1", "Place dans le journal", "Place in the log", kind="decimal"),
        _PATH,
        _head("head", "Tête signée", "Signed head"),
        _answered("sequence", "1", "Numéro dans le dossier", "Number in the record", kind="decimal"),
        _answered("nonce", "1", "Ouvre le numéro", "Opens the number", kind="base64Binary"),
        instance=True,
    ),
    _proof(
        "consistency-proof",
        "Preuve de cohérence du journal / Consistency proof of the log",
        "Le journal de la seconde tête commence par celui de la première. — The log of the second head begins with that"
        " of the first.",
        _given("first", "integer", "Taille de la tête connue", "Size of the head that is known"),
        _given("second", "integer", "Taille de l'autre, la dernière par défaut", "Size of the other, else the latest"),
        _head("first", "Première tête", "First head"),
        _head("second", "Seconde tête", "Second head"),
        _PATH,
    ),
    _proof(
        "tree-head",
        "Tête signée du journal / Signed head of the log",
        "La dernière tête signée. — The latest signed head.",
        _head("head", "Tête signée", "Signed head"),
    ),
)
