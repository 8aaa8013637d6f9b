"""What the gate's self-test found."""

from __future__ import annotations

from storage.records import Record


class Tried(Record):
    """One damaged copy: whether the check `stops` blocked it, and by which verdict or refusal."""

    name: str
    stops: str
    blocked: bool
    how: str


class Caught(Record):
    """One broken rule: how many damaged copies it would let pass, and the first of them; none is a hole."""

    rule: str
    by: str
    times: int


class SelfTest(Record):
    """The outcome; `control` says why a healthy copy does not pass, and is empty where it does."""

    run: str
    control: str
    tried: tuple[Tried, ...]
    caught: tuple[Caught, ...]

    @property
    def holes(self) -> tuple[str, ...]:
        """Everything that went wrong, in words; empty where the gate can be trusted."""
        slipped = [f"not blocked: {one.name} (by {one.stops}: {one.how})" for one in self.tried if not one.blocked]
        unseen = [f"a broken rule would not be noticed: {one.rule}" for one in self.caught if not one.times]
        return (*([self.control] if self.control else []), *slipped, *unseen)
