"""A family's driver against its emulator: both in this process, a machine without anything around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.raid.model import Controller, Effect, Plug
from lab.raid.reply import Emulator, Reply
from metal.drivers.raid.family import RaidFamily
from metal.drivers.raid.listing import Controller as Listed
from metal.protocols import Command, Output


@dataclass
class Driven:
    """One tool over controllers; `shown` are the block devices that the effects left."""

    family: RaidFamily
    emulator: Emulator
    tool: str
    controllers: list[Controller]
    shown: dict[str, Effect] = field(default_factory=dict)
    scripted: Callable[["Driven"], Output] | None = None
    """What stands for a family's shell script, where its query is one."""

    def ask(self, *argv: str, stdin: str | None = None) -> Reply:
        """Call the tool, and keep account of block devices."""
        reply = self.emulator.run(argv, self.controllers, stdin)
        assert not (reply.asks and reply.effects), "a question changes nothing"
        for effect in reply.effects:
            if isinstance(effect, Plug):
                assert effect.key not in self.shown, f"{effect.key} is shown twice after {argv}"
                self.shown[effect.key] = effect
            else:
                assert self.shown.pop(effect.key, None) is not None, f"{effect.key} was not shown, {argv}"
        return reply

    def answer(self, argv: Sequence[str]) -> Output:
        """A query's answer, as a shell gives it."""
        if argv[0] == "sh" and self.scripted is not None:
            return self.scripted(self)
        reply = self.ask(*argv)
        assert not reply.asks
        return Output(tuple(argv), reply.status, reply.stdout, reply.stderr)

    def listed(self) -> tuple[Listed, ...]:
        """What the driver sees now."""
        queries = self.family.queries(self.tool)
        return self.family.controllers({query.name: self.answer(query.argv) for query in queries})

    def send(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands as the engine does: one after the other, none of which may ask."""
        replies = []
        for command in commands:
            stdin = command.stdin.decode() if command.stdin is not None else None
            reply = self.ask(*command.argv, stdin=stdin)
            assert not reply.asks, f"{command.argv} asks: {reply.stdout}"
            assert reply.status in command.ok_statuses
            replies.append(reply)
        return replies
