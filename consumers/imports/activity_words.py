"""What an activity probably means, by the words in its name, in the languages logs are written in.

English, French, German, Spanish, Dutch and Japanese. A guess is `sure` where the words leave no
other kind; the rest is proposed to be looked at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple


class Guess(NamedTuple):
    """A kind and how sure it is; `stage` where the name says one; `remark` for the reader."""

    kind: str
    sure: bool = True
    stage: bool = False
    remark: str = ""


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


# Accents are taken off before matching. A Japanese word stands anywhere; a short Latin one needs
# its boundary, for "reference" is in "preference".
_APPLICATION = _words(
    r"\bappl(y|ied|icat)", "candidature", "postul", "bewerbung", "solicitud", "sollicitatie",
    "応募", "エントリー",
)  # fmt: skip
_INTERVIEW = _words(
    "interview", "entretien", "gesprach", "entrevista", "gesprek", "面接", "面談",
)  # fmt: skip
_OFFER = _words(
    r"\boffer(s|ed)?\b", r"\boffre", "angebot", r"\boferta", "aanbod", r"\bpropos",
    "内定", "オファー",
)  # fmt: skip
_REJECT = _words(
    "reject", r"\brefus", "absage", "abgelehnt", "ablehn", "rechaz", "afgewezen", "afwijz",
    "不合格", "不採用", "見送り", r"\bnot hired", r"\bno hire",
)  # fmt: skip
_DECLINE = _words(
    r"\bdeclin", r"\bturn(ed)? ?down", "abgelehnt", "ablehn", "rechaz", "geweigerd", "afgewezen",
    r"\brefus", "辞退",
)  # fmt: skip
_WITHDRAW = _words(
    "withdr", r"\bretir", "desist", "zuruckgezogen", "zuruckzieh", "teruggetrokken", "terugtrek",
    "辞退", "取り下げ", r"\bturn(ed)? ?down",
)  # fmt: skip
_ACCEPT = _words("accept", "angenommen", "zusage", r"\bacept", "geaccepteerd", "承諾")
_HIRED = _words(
    r"\bhired\b", r"\bhire\b", r"\beingestellt", "aangenomen", "入社", "採用決定", "placed"
)
# With an offer beside it, the offer of a job.
_EMPLOYED = _words("embauch", "einstellung", "contratad", "contratacion")
_SENT = _words(
    r"\bsen[dt]\b", r"\bmail", "letter", "notif", r"\benvo[iy]", "courrier", "absage", "enviad",
    "verstuurd", r"\bbrief\b", "通知", "連絡", "送付", r"\btold\b", r"\binformed\b",
)  # fmt: skip
_SCHEDULE = _words(
    "schedul", r"\binvit", r"\bbook", "planifi", "convocation", r"\beinlad", r"\btermin\b",
    "vereinbart", "programad", "uitnod", "gepland", "日程", "案内", "予約", "設定", r"\barrange",
)  # fmt: skip
_CANCEL = _words("cancel", "annul", "abgesagt", "storniert", "geannuleerd", "キャンセル", "中止")
_MOVE = _words(
    "resched", r"\bmoved\b", "report(e|er)\b", "verschoben", "reprogram", "verzet", "変更"
)
_MISSED = _words("no.?show", "missed", "absent", "nicht erschienen", "niet verschenen", "欠席")
_BACKGROUND = _words(
    r"\bbackground", "casier", "fuhrungszeugnis", "antecedentes", "\\bvog\\b", "バックグラウンド",
    "身元",
)  # fmt: skip
_REFERENCE = _words(
    r"\breferenc", r"\breferee", r"\breferenz", r"\breferentie", "リファレンス", "推薦",
)  # fmt: skip
_ASSESSMENT = _words(
    "assessment", r"\btest\b", r"\btests\b", "challenge", "take.?home", "epreuve", "eignungstest",
    "prueba", r"\btoets", "適性検査", "テスト", "筆記",
)  # fmt: skip
_CALL = _words(
    r"\bphone", "telephon", "telefon", r"\bcall(s|ed)?\b", r"\bappel\b", "anruf", "llamada",
    "bellen", "電話",
)  # fmt: skip
_SURVEY = _words("survey", r"\bnps\b", "enquete", "umfrage", "encuesta", "アンケート")
_AVAILABILITY = _words("availab", "disponibilit", "verfugbarkeit", "disponibilidad", "beschikbaar")
_SCORECARD = _words("scorecard", "score card", "beurteilung", "評価表")
_MESSAGE = _words(r"\be?.?mail", r"\bmessage", r"\bnachricht", "mensaje", "メール")
_RECEIVED = _words(
    "receiv", r"\brecu", "eingegangen", "eingang", "recib", "ontvangen", "受付", "受領", "受信",
    "返信", "repl(y|ied)", "inbound",
)  # fmt: skip
_DONE = _words(
    "complet", r"\bdone\b", "passed", "returned", "answer", "submit", "abgeschlossen", "termine",
    "receiv", "回答", "完了", "合格",
)  # fmt: skip
_CONFIRMED = _words(
    "acknowledg", "confirm", "accuse de reception", "eingangsbestatigung", "bevestig", "確認",
)  # fmt: skip
_STARTED = _words(r"\bstart", "initiat", r"\border", "request", "begonnen", "開始", "依頼", "lanc")
_REVIEW = _words(
    "review", "screen", "shortlist", "書類選考", "選考", "prufung", "vorauswahl", "presel",
    "preseleccion", "revision", r"\bassign", "consult", r"\bstage", r"\betape", r"\bphase",
    "beoordel", "sichtung", r"\btri\b",
)  # fmt: skip
_ABANDONED = _words("abandon", "abgebrochen")
_REOPENED = _words("reopen", "re.open", "rouvert", "wieder")
_ONBOARDING = _words("onboard", "einarbeitung", "integration", "オンボーディング")
_RESCINDED = _words("rescind", r"\brevok", "withdrawn by", "zuruckgenommen", "取消")
_EXPIRED = _words("expire", "abgelaufen", "vencid", "verlopen", "期限切れ")
_SUBMITTED = _words(
    "submit", r"\bhand", r"\bsen[dt]\b", "receiv", r"\bnew\b", r"\bapplied\b", "postul",
    r"\benvo[iy]", r"\brecu", "eingang", "eingegangen", "recib", "ontvangen", "受付", "提出",
)  # fmt: skip
_PREPARED = _words("approv", "decid", "prepar", "creat", "draft", "genehmigt", "承認")

_Has = Callable[..., bool]
"""Whether a name has a word of every group."""

_IF_TOLD = "rejection_sent, if the candidate was told"


def guess(activity: str) -> Guess:
    """The kind an activity's name speaks of; `unrecognised_touchpoint` when it speaks of none."""
    name = plain(activity)

    def has(*groups: re.Pattern[str]) -> bool:
        return all(group.search(name) for group in groups)

    for family in (_of_checks, _of_offers, _of_endings, _of_talks, _of_applications):
        found = family(has)
        if found is not None:
            return found
    return Guess("unrecognised_touchpoint", sure=False)


def plain(text: str) -> str:
    """Lower case, without accents, punctuation as spaces: how words are compared."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    apart = unicodedata.normalize("NFD", folded)
    # Only the accents of Latin letters: Japanese ones make another letter.
    bare = "".join(each for each in apart if not "\u0300" <= each <= "\u036f")
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", bare)).strip()


def _of_checks(has: _Has) -> Guess | None:
    if has(_SURVEY):
        return Guess("survey_answered" if has(_DONE) else "survey_sent")
    if has(_BACKGROUND):
        begins = has(_STARTED) and not has(_DONE)
        return Guess("background_check_started" if begins else "background_check_completed")
    if has(_REFERENCE):
        return Guess("reference_completed" if has(_DONE) else "reference_contacted")
    if has(_SCORECARD):
        return Guess("scorecard_submitted")
    if has(_ASSESSMENT) and not has(_INTERVIEW):
        if has(_SENT) or has(_SCHEDULE):
            return Guess("assessment_sent")
        return Guess("assessment_completed", sure=has(_DONE))
    return None


def _of_offers(has: _Has) -> Guess | None:
    if has(_HIRED) and not has(_REJECT):
        return Guess("hired")
    if not has(_OFFER):
        return Guess("hired") if has(_EMPLOYED) and not has(_REJECT) else None
    if has(_DECLINE) or has(_REJECT):
        return Guess("offer_declined")
    if has(_RESCINDED):
        return Guess("offer_rescinded")
    if has(_EXPIRED):
        return Guess("offer_expired")
    if has(_ACCEPT):
        return Guess("offer_accepted")
    return Guess("offer_decided" if has(_PREPARED) and not has(_SENT) else "offer_sent")


def _of_endings(has: _Has) -> Guess | None:
    if has(_REJECT):
        return (
            Guess("rejection_sent") if has(_SENT) else Guess("rejection_decided", remark=_IF_TOLD)
        )
    if has(_WITHDRAW):
        return Guess("withdrew")
    return None


def _of_talks(has: _Has) -> Guess | None:
    if has(_AVAILABILITY):
        return Guess("availability_requested", sure=has(_STARTED))
    if has(_INTERVIEW):
        return _of_interviews(has)
    if has(_CALL):
        return Guess("call_missed_by_candidate", sure=False) if has(_MISSED) else Guess("call_made")
    if has(_MESSAGE):
        return Guess("message_received" if has(_RECEIVED) else "message_sent", sure=has(_SENT))
    return None


def _of_interviews(has: _Has) -> Guess:
    if has(_CANCEL):
        return Guess("interview_cancelled")
    if has(_MISSED):
        return Guess("interview_missed_by_candidate", sure=False)
    if has(_MOVE):
        return Guess("interview_moved")
    return Guess("interview_scheduled") if has(_SCHEDULE) else Guess("interview_held", stage=True)


def _of_applications(has: _Has) -> Guess | None:
    if has(_APPLICATION):
        if has(_REOPENED):
            return Guess("application_reopened")
        if has(_ABANDONED):
            return Guess("application_abandoned")
        if has(_CONFIRMED):
            return Guess("application_acknowledged")
        if has(_REVIEW):
            return Guess("stage_changed", stage=True)
        if has(_STARTED):
            return Guess("application_started")
        return Guess("application_submitted", sure=has(_SUBMITTED) or has(_ALONE))
    if has(_ONBOARDING):
        return Guess("onboarding_started", sure=False)
    if has(_REVIEW):
        return Guess("stage_changed", stage=True)
    if has(_CONFIRMED):
        return Guess("application_acknowledged", sure=False)
    if has(_ACCEPT):
        return Guess("offer_accepted", sure=False)
    if has(_DECLINE):
        return Guess("rejection_decided", sure=False)
    if has(_HANDED_IN):
        return Guess("application_submitted", sure=False)
    return None


_HANDED_IN = re.compile("submitted")
_ALONE = re.compile(r"^(job )?\S+$")
"""The one word `Application` is the sending of it."""

__all__ = ["Guess", "guess", "plain"]
