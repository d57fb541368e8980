"""What columns of logs are called, in the languages logs are written in, as `plain` makes names.

English, French, German, Spanish, Dutch and Japanese; of the lists the surest name first.
"""

from __future__ import annotations

import re

CASES = (
    "case concept name", "ocel type applications", "case id", "caseid", "case", "application id",
    "applicationid", "data application id", "application", "application no", "application number",
    "id candidature", "n de candidature", "no candidature", "numero de candidature", "candidature",
    "bewerbung id", "bewerbungs id", "bewerbungsnummer", "bewerbung", "id solicitud", "solicitud",
    "sollicitatie id", "sollicitatie", "応募id", "応募 id", "応募番号", "応募者番号", "process id",
    "trace id", "instance id",
)  # fmt: skip
CANDIDATES = (
    "candidate id", "candidateid", "data candidate id", "candidate", "applicant id", "applicant",
    "person id", "id candidat", "candidat id", "candidat", "bewerber id", "bewerber",
    "id candidato", "candidato", "kandidaat id", "kandidaat", "候補者id", "候補者 id", "応募者id",
    "応募者 id", "subject",
)  # fmt: skip
ACTIVITIES = (
    "ocel activity", "concept name", "activity", "activity name", "aktivitat", "activite",
    "actividad", "activiteit", "活動", "アクティビティ", "event", "event type", "event name",
    "evenement", "ereignis", "evento", "gebeurtenis", "recruitment status", "選考ステータス",
    "選考段階", "ステータス", "状態", "status", "statut", "estado", "stage", "step", "etape",
    "phase", "stufe", "schritt", "etapa", "fase", "stap", "action", "aktion", "milestone", "type",
)  # fmt: skip
TIMES = (
    "ocel timestamp", "time timestamp", "complete timestamp", "timestamp", "occurred at",
    "event time", "time", "datetime", "date time", "status changed at", "changed at", "date",
    "horodatage", "date et heure", "date de l evenement", "zeitstempel", "zeitpunkt", "datum",
    "zeit", "fecha", "fecha y hora", "marca de tiempo", "tijdstip", "tijd", "日時", "日付",
    "発生日時", "更新日時", "created at", "updated at", "start timestamp", "end time", "start time",
)  # fmt: skip
EVENT_IDS = ("ocel eid", "event id", "eventid", "concept instance", "source id", "uuid", "id")
ACTORS = (
    "org resource", "resource", "responsible person", "responsible", "actor", "user id", "user",
    "recruiter", "recruteur", "responsable", "bearbeiter", "benutzer", "usuario", "reclutador",
    "medewerker", "担当者", "担当者id", "owner", "org group",
)  # fmt: skip
JOBS = (
    "job id", "jobid", "data job id", "requisition id", "requisition", "vacancy id",
    "ocel type vacancies", "position id", "stellen id", "stellennummer", "poste id", "id puesto",
    "vacature id", "求人id", "求人番号",
)  # fmt: skip
LIFECYCLES = ("lifecycle transition", "lifecycle")
OUTCOMES = (
    "status", "statut", "outcome", "result", "resultat", "ergebnis", "estado", "結果", "状態",
)  # fmt: skip
FINALS = re.compile(
    "final|answer|result|decision|outcome|reponse|resultat|ergebnis|entscheid|resultado|uitslag|結果"
)
NAMES = re.compile(
    r"\b(full|first|last|candidate|applicant|person)? ?names?$|^nom\b|prenom|vorname|nachname"
    r"|^nombre|apellido|naam$|氏名|名前|^姓|^名$"
)
NO_NAMES = re.compile(r"concept|event|activity|job|company|stage|file|source|class")
TEXTS = re.compile(
    "comment|note|remark|feedback|cover letter|lettre|bemerkung|kommentar|comentario|opmerking"
    "|コメント|備考|メモ"
)
ADDRESSES = re.compile("(^| )(street|address|adresse|anschrift|direccion|adres|住所)")
LINKS = re.compile("linkedin|profile url|portfolio|github")
