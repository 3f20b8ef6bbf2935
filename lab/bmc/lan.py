"""The BMC's LAN side: datagrams in, datagrams out.

Nothing a datagram holds can do more than be dropped with a reason in the log.
"""

import secrets
from collections.abc import Callable, Mapping

from lab.bmc import rmcp, session
from lab.bmc.completion import Completion
from lab.bmc.controller import Command, Controller
from lab.bmc.rmcp import Legacy, Message, Packet, Ping, WireError
from lab.bmc.session import ADDRESS, Session

MAX_SESSIONS = 16
SESSION_TIMEOUT_S = 60.0
RETRANSMISSION_S = 3.0
ACCESS_DISABLED = 0

NETFN_APP = 0x06
GET_SYSTEM_GUID = 0x37
GET_CHANNEL_AUTH = 0x38
GET_CIPHER_SUITES = 0x54
CLOSE_SESSION = 0x3C
SESSIONLESS = frozenset({GET_SYSTEM_GUID, GET_CHANNEL_AUTH, GET_CIPHER_SUITES})


class LanServer:
    """Sessions over one UDP port."""

    def __init__(
        self,
        controller: Controller,
        commands: Mapping[tuple[int, int], Command],
        send: Callable[[bytes, ADDRESS], None],
        log: Callable[[str], None],
    ) -> None:
        self._bmc = controller
        self._commands = commands
        self._send = send
        self._log = log
        self.on_sol: Callable[[Session, bytes], None] = lambda _session, _payload: None
        self.on_closed: Callable[[Session], None] = lambda _session: None

    def receive(self, datagram: bytes, address: ADDRESS) -> None:
        """One datagram."""
        try:
            packet = rmcp.decode(datagram)
            if isinstance(packet, Ping):
                self._send(rmcp.pong(packet.tag), address)
            elif isinstance(packet, Legacy):
                self._sessionless(packet.message, address, rmcp.legacy, in_session=packet.session_id != 0)
            elif packet.session_id:
                self._in_session(packet, address)
            else:
                self._outside(packet, address)
        except WireError as error:
            self._log(f"dropped {len(datagram)} bytes from {address[0]}: {error}")

    def send_payload(self, to: Session, payload_type: int, payload: bytes) -> None:
        """Send within a session."""
        if to.keys is not None:
            self._send(to.keys.seal(payload_type, to.console_id, to.next_sequence(), payload), to.address)

    def drop(self, which: Session) -> None:
        """End a session."""
        self._bmc.sessions.pop(which.session_id, None)
        self.on_closed(which)

    def drop_all(self) -> None:
        """End every session."""
        for each in list(self._bmc.sessions.values()):
            self.drop(each)

    def _outside(self, packet: Packet, address: ADDRESS) -> None:
        """The handshake, and the few commands that need no session."""
        if packet.payload_type == rmcp.PAYLOAD_IPMI:
            self._sessionless(packet.payload, address, lambda message: rmcp.plain(rmcp.PAYLOAD_IPMI, message))
        elif self._bmc.state.channel_access == ACCESS_DISABLED:
            raise WireError("the channel is closed by its access mode")
        elif packet.payload_type == rmcp.PAYLOAD_OPEN_REQUEST:
            self._open(session.decode_open(packet.payload), address)
        elif packet.payload_type == rmcp.PAYLOAD_RAKP1:
            self._rakp1(session.decode_rakp1(packet.payload), address)
        elif packet.payload_type == rmcp.PAYLOAD_RAKP3:
            self._rakp3(session.decode_rakp3(packet.payload), address)
        else:
            raise WireError(f"payload type {packet.payload_type:#x} outside of a session")

    def _sessionless(
        self, data: bytes, address: ADDRESS, wrap: Callable[[bytes], bytes], *, in_session: bool = False
    ) -> None:
        message = rmcp.decode_message(data)
        if in_session or message.netfn != NETFN_APP or message.command not in SESSIONLESS:
            raise WireError(f"command {message.netfn:#x}/{message.command:#x} needs an RMCP+ session")
        completion, answer = self._bmc.handle(
            self._commands, message.netfn, message.command, message.data, None
        )
        self._send(wrap(rmcp.encode_answer(message, completion, answer)), address)

    def _open(self, request: session.OpenRequest, address: ADDRESS) -> None:
        now = self._bmc.clock()
        for old in [
            each for each in self._bmc.sessions.values() if now - each.last_seen_s > SESSION_TIMEOUT_S
        ]:
            self.drop(old)
        suite = session.choose_suite(request.algorithms)
        status, number = session.ACCEPTED, 0
        if suite is None:
            status = session.NO_MATCHING_SUITE
        elif len(self._bmc.sessions) >= MAX_SESSIONS:
            status = session.OUT_OF_RESOURCES
        else:
            while not number or number in self._bmc.sessions:
                number = secrets.randbits(32)
            self._bmc.sessions[number] = Session(number, request.console_id, suite, now, address)
        answer = session.open_response(request, status, number)
        self._send(rmcp.plain(rmcp.PAYLOAD_OPEN_RESPONSE, answer), address)

    def _rakp1(self, request: session.Rakp1, address: ADDRESS) -> None:
        which = self._opening(request.session_id)
        state = self._bmc.state
        now = self._bmc.clock()
        unlocked = {
            slot: user for slot, user in state.users.items() if not self._bmc.lockout.locked(slot, now)
        }
        again = which.handshake is not None
        status, answer = session.answer_rakp1(
            which, request, unlocked, state.channel_privilege, self._bmc.guid, secrets.token_bytes
        )
        self._send(rmcp.plain(rmcp.PAYLOAD_RAKP2, answer), address)
        if status:
            self._log(f"login of {request.user!r} from {address[0]} refused with {status:#x}")
            self.drop(which)
        elif not again:
            self._bmc.lockout.begun(which.user_slot)

    def _rakp3(self, request: session.Rakp3, address: ADDRESS) -> None:
        which = self._opening(request.session_id)
        if request.status:
            self.drop(which)
            raise WireError(f"the console gave the login up with status {request.status:#x}")
        status, answer = session.answer_rakp3(which, request, self._bmc.guid)
        which.address = address
        self._send(rmcp.plain(rmcp.PAYLOAD_RAKP4, answer), address)
        if status:
            self._log(f"wrong password from {address[0]} for user slot {which.user_slot}")
            self.drop(which)
        else:
            self._bmc.lockout.proven(which.user_slot)

    def _opening(self, number: int) -> Session:
        which = self._bmc.sessions.get(number)
        if which is None or which.keys is not None:
            raise WireError(f"handshake for session {number:#x}, which is not being opened")
        return which

    def _in_session(self, packet: Packet, address: ADDRESS) -> None:
        which = self._bmc.sessions.get(packet.session_id)
        if which is None or which.keys is None:
            raise WireError(f"session {packet.session_id:#x} is not open")
        payload = which.keys.open(packet)
        which.address, which.last_seen_s = address, self._bmc.clock()
        if packet.payload_type == rmcp.PAYLOAD_IPMI:
            self._command(which, payload)
        elif packet.payload_type == rmcp.PAYLOAD_SOL:
            self.on_sol(which, payload)
        else:
            raise WireError(f"payload type {packet.payload_type:#x} in a session")

    def _command(self, which: Session, payload: bytes) -> None:
        """Run a command once; a retransmission gets the first answer again."""
        now = self._bmc.clock()
        if payload == which.last_request and now - which.last_answer_s < RETRANSMISSION_S:
            self.send_payload(which, rmcp.PAYLOAD_IPMI, which.last_answer)
            return
        message: Message = rmcp.decode_message(payload)
        completion, data = self._bmc.handle(
            self._commands, message.netfn, message.command, message.data, which
        )
        answer = rmcp.encode_answer(message, completion, data)
        which.last_request, which.last_answer, which.last_answer_s = payload, answer, now
        self.send_payload(which, rmcp.PAYLOAD_IPMI, answer)
        closing = (message.netfn, message.command) == (NETFN_APP, CLOSE_SESSION)
        if closing and completion == Completion.OK:
            self.drop(which)
