"""Each wait for consent is a question of its own, also about the same plan with nothing done since."""

from datetime import UTC, datetime, timedelta

from specs.records import JobRecord
from tasks import form, held

ASKED = datetime(2026, 11, 25, 12, tzinfo=UTC)


def key(asked: datetime | None) -> str:
    about = {"host": "web-01", "host_id": "h1", "no": 7, "verb": "apply", "by": "t"}
    job = JobRecord(**about, state="waiting-consent", created_at=ASKED, consent_asked=asked)
    return form.key("a" * 64, held.turn(job))


def test_the_answer_to_an_expired_question_is_none_to_the_next():
    assert key(ASKED) == key(ASKED)
    assert key(ASKED) != key(ASKED + timedelta(days=8))
    assert key(ASKED) != key(ASKED + timedelta(seconds=1))
