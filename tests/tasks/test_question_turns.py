"""Each wait for consent is a question of its own, also about the same plan with nothing done since."""

from datetime import UTC, datetime, timedelta

from specs.records import JobRecord
from tasks import form, held

ASKED = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Edge:
    """An edge with one job that waits."""

    def __init__(self, asked: datetime | None) -> None:
        self.asked = asked

    def job(self, name: str, number: int) -> JobRecord:
        about = {"host": name, "host_id": "h1", "no": number, "verb": "apply", "by": "t"}
        return JobRecord(**about, state="waiting-consent", created_at=ASKED, consent_asked=self.asked)


def key(asked: datetime | None) -> str:
    edge = Edge(asked)
    return form.key("a" * 64, held.turn(edge, edge.job("web-01", 7)))


def test_the_answer_to_an_expired_question_is_none_to_the_next():
    assert key(ASKED) == key(ASKED)
    assert key(ASKED) != key(ASKED + timedelta(days=8))
    assert key(ASKED) != key(ASKED + timedelta(seconds=1))
