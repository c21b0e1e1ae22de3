"""The commands of `medunion hospital`, `public-cloud` and so on, listed without reading any of them.

Help that is asked for at a keyboard comes at once: the modules of a command are imported when that command is.
"""

import click

from federation.cli.groups import CeremonyGroup, ClientGroup, Lazy, LazyGroup

_HOSPITAL, _CLOUD = "federation.cli.hospital", "federation.cli.public_cloud"
_MEMBERS = "federation.cli.cloud_members"
_DOCTOR, _PATIENT = "federation.cli.doctor", "federation.cli.patient"
_TOKEN, _HAND_OVER = "federation.cli.token", "federation.cli.token_hand_over"
_CEREMONY = "federation.cli.ceremony"
_LOG_ANEW = "Begin the log anew under the next number, after a restore."
_LOG_ARCHIVE = "Write the log's tree and its sealed entries to files."
_LOG_HEADS = "Show the log's head, who cosigned it, and others' heads."
_LOG_SETTLE = "Note that what contradicts was seen to."
_ACCESSES = "Write who was given, or refused, what of one patient as FHIR AuditEvents."
_ROTATE = "Replace a key: prepare a successor, activate it, end the old one."
_EVIDENCE = "What you could show a judge."


@click.group(
    cls=LazyGroup,
    lazy={
        "accesses": Lazy(f"{_HOSPITAL}:accesses", _ACCESSES),
        "crl": Lazy(f"{_HOSPITAL}:crl", "Take an authority's list that was carried here while the cloud is silent."),
        "duty": Lazy("federation.cli.hospital_duty:duty", "Say who is on duty here."),
        "emergencies": Lazy(
            "federation.cli.hospital_emergencies:emergencies", "Review the emergencies in which doctors read records."
        ),
        "evidence": Lazy("federation.cli.server_evidence:hospital_evidence", _EVIDENCE),
        "guardian": Lazy(
            "federation.cli.hospital_guardian:guardian", "State who stands for a patient that can't sign."
        ),
        "import": Lazy("federation.cli.hospital_import:import_records", "Import records: FHIR R4, one a file."),
        "init": Lazy("federation.cli.init:init_of_hospital", "Set a hospital up, step by step."),
        "log": Lazy(f"{_HOSPITAL}:log", "Show who was given, or refused, what: one entry a line, as JSON."),
        "log-anew": Lazy(f"{_HOSPITAL}:log_anew", _LOG_ANEW),
        "log-archive": Lazy(f"{_HOSPITAL}:log_archive", _LOG_ARCHIVE),
        "log-heads": Lazy(f"{_HOSPITAL}:log_heads", _LOG_HEADS),
        "log-settle": Lazy(f"{_HOSPITAL}:log_settle", _LOG_SETTLE),
        "outbox": Lazy(f"{_HOSPITAL}:outbox", "Count the records that the public cloud's index does not know yet."),
        "publish-again": Lazy(f"{_HOSPITAL}:publish_again", "Publish every record once more."),
        "records": Lazy("federation.cli.records:records", "See what is on file; keep, hold, withdraw, erase it."),
        "register": Lazy(f"{_HOSPITAL}:register", "Register with the public cloud, and get a TLS identity."),
        "rotate": Lazy(f"{_HOSPITAL}:rotate", _ROTATE),
        "serve": Lazy(
            "federation.cli.hospital_serve:serve_command", "Serve doctors and patients until SIGTERM or SIGINT."
        ),
        "ticket": Lazy(f"{_HOSPITAL}:ticket", "Get a ticket for a patient whom the enrolment desk has identified."),
    },
)
def hospital() -> None:
    """Make, register and run a hospital."""


@click.group(
    "public-cloud",
    cls=LazyGroup,
    lazy={
        "accesses": Lazy(f"{_CLOUD}:accesses", _ACCESSES),
        "addresses": Lazy(f"{_MEMBERS}:addresses", "List where this cloud and each hospital are dialled."),
        "authority": Lazy(f"{_CLOUD}:authority", "Say whose certificates make a doctor legal."),
        "crl": Lazy(f"{_CLOUD}:crl", "Take an authority's newer list of revoked certificates."),
        "evidence": Lazy("federation.cli.server_evidence:cloud_evidence", _EVIDENCE),
        "forget-hospital": Lazy(f"{_CLOUD}:forget_hospital", "Take every row of a hospital out of the index."),
        "init": Lazy("federation.cli.init:init_of_cloud", "Found a federation, step by step."),
        "invite": Lazy(f"{_CLOUD}:invite", "Make a ticket with which a hospital may register, once."),
        "log": Lazy(f"{_CLOUD}:log", "Show the audit log, one entry a line, as JSON."),
        "log-anew": Lazy(f"{_CLOUD}:log_anew", _LOG_ANEW),
        "log-archive": Lazy(f"{_CLOUD}:log_archive", _LOG_ARCHIVE),
        "log-heads": Lazy(f"{_CLOUD}:log_heads", _LOG_HEADS),
        "log-settle": Lazy(f"{_CLOUD}:log_settle", _LOG_SETTLE),
        "members": Lazy(f"{_MEMBERS}:members", "List who is registered, since when and until when."),
        "move": Lazy(f"{_MEMBERS}:move", "Give this cloud another address, which members follow."),
        "remove-member": Lazy(f"{_MEMBERS}:remove_member", "Remove a hospital that leaves."),
        "retention": Lazy(f"{_CLOUD}:retention", "Remove what is over."),
        "revoke": Lazy(f"{_CLOUD}:revoke", "Revoke every credential of an identity, or one."),
        "revoke-guardian": Lazy(f"{_CLOUD}:revoke_guardian", "Take a guardianship back that a hospital stated."),
        "rotate": Lazy(f"{_CLOUD}:rotate", _ROTATE),
        "serve": Lazy(
            "federation.cli.cloud_serve:serve", "Serve until SIGTERM or SIGINT; calls under way may end first."
        ),
        "tickets": Lazy(f"{_MEMBERS}:tickets", "List the tickets that are good, and for whom."),
        "trust": Lazy(f"{_CLOUD}:trust", "Return the trust bundle that every member pins."),
        "witness-policy": Lazy("federation.cli.witness_policy:witness_policy", "Say whose cosignatures of logs count."),
    },
)
def public_cloud() -> None:
    """Run the public cloud of a federation."""


@click.group(
    cls=ClientGroup,
    lazy={
        "certificate-request": Lazy(f"{_DOCTOR}:certificate_request", "Write a request for your newest identity key."),
        "consult": Lazy(f"{_DOCTOR}:consult", "Open a room, wait for a patient, read its records, diagnose."),
        "deposit": Lazy(f"{_DOCTOR}:deposit", "Send the encounters again that your hospital has not signed for yet."),
        "desk": Lazy("federation.cli.doctor_desk:desk", "Work at your desk in a browser of this computer."),
        "duty": Lazy(f"{_DOCTOR}:duty", "Ask your hospital where it says that you are on duty now."),
        "emergency": Lazy(
            "federation.cli.doctor_emergency:emergency",
            "Read a patient's records without consent, when waiting for it would do harm.",
        ),
        "evidence": Lazy(f"{_DOCTOR}:evidence", _EVIDENCE),
        "init": Lazy(f"{_DOCTOR}:init", "Make your keys, and a certificate request."),
        "register": Lazy(f"{_DOCTOR}:register", "Register with the public cloud; your certificate is your ticket."),
        "rotate": Lazy(f"{_DOCTOR}:rotate", _ROTATE),
    },
)
def doctor() -> None:
    """See patients, read their records under their consent, and sign diagnoses."""


@click.group(
    cls=ClientGroup,
    lazy={
        "accesses": Lazy("federation.cli.patient_accesses:accesses", "Show who accessed your records."),
        "app": Lazy("federation.cli.patient_app:app", "Do all of this in a browser of this computer."),
        "diagnoses": Lazy(f"{_PATIENT}:diagnoses", "Fetch the diagnoses that wait for you; show all that you have."),
        "evidence": Lazy(f"{_PATIENT}:evidence", _EVIDENCE),
        "grants": Lazy("federation.cli.patient_grants:grants", "List the consents that you gave."),
        "hidden": Lazy("federation.cli.patient_hiding:hidden", "Ask what is hidden, and how many hospitals have it."),
        "hide": Lazy("federation.cli.patient_hiding:hide", "Hide records from every doctor."),
        "init": Lazy(f"{_PATIENT}:init", "Make this device yours."),
        "mandate": Lazy("federation.cli.patient_grants:mandate", "Make another patient your deputy, and end that."),
        "records": Lazy("federation.cli.patient_records:records", "Find, read and save records, and add to them."),
        "register": Lazy(f"{_PATIENT}:register", "Register with the public cloud; a ticket is good once."),
        "revoke": Lazy("federation.cli.patient_grants:revoke", "Take consents back, by their numbers."),
        "rotate": Lazy(f"{_PATIENT}:rotate", _ROTATE),
        "show-again": Lazy("federation.cli.patient_hiding:show_again", "Hide something no longer, by its number."),
        "visit": Lazy(f"{_PATIENT}:visit", "Visit the doctor of a code, who is shown to you first."),
    },
)
def patient() -> None:
    """Visit doctors, give and take back consent, read your diagnoses and records."""


@click.group(
    cls=LazyGroup,
    lazy={
        "change-pin": Lazy(f"{_TOKEN}:change_pin", "Change a token's user PIN."),
        "check": Lazy(f"{_TOKEN}:check", "Try whether a token can do what a role needs: nothing stays on it."),
        "hand-over": Lazy(f"{_HAND_OVER}:hand_over", "Write the registration secret for a token's maker's own tool."),
        "init": Lazy(f"{_TOKEN}:init", "Initialise a token and print its URI."),
        "init-softhsm": Lazy(f"{_TOKEN}:init_softhsm", "Make a SoftHSM token, which `init` of a node then uses."),
        "keys": Lazy(f"{_TOKEN}:keys", "List a token's objects, and name each that breaks its policy."),
        "list": Lazy(f"{_TOKEN}:list_tokens", "List modules, slots and tokens, with the PINs' counters."),
        "taken-over": Lazy(f"{_HAND_OVER}:taken_over", "Test the secret that the maker's tool put into the token."),
    },
)
def token() -> None:
    """Look at tokens, try them, initialise them, audit their keys."""


@click.group(
    cls=CeremonyGroup,
    lazy={
        "participant": Lazy(f"{_CEREMONY}:participant", "Return the public key with which you will sign transcripts."),
        "render": Lazy(f"{_CEREMONY}:render", "Bind a transcript that holds into one document."),
        "run": Lazy(f"{_CEREMONY}:run", "Hold a ceremony."),
        "script": Lazy(f"{_CEREMONY}:script", "Print a ceremony's run sheet, or make it a document."),
        "validate": Lazy(f"{_CEREMONY}:validate", "Check a ceremony's file, and show its digest."),
        "verify": Lazy(f"{_CEREMONY}:verify", "Check a transcript offline, with those before it."),
    },
)
def ceremony() -> None:
    """Make, rotate and destroy keys before witnesses."""
