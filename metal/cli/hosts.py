"""`hosts`, `host NAME`, `host add`, `host approve`, `host rm`: what is known about machines."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from metal.cli.groups import NameOrCommand, new_group
from metal.cli.job_words import FINAL, busy, holder_words, job_name, run_url, state_words
from metal.cli.output import line, say, show_json, show_table
from metal.cli.raid_tables import show_raid
from metal.cli.secret import read_value
from metal.edge_client import EdgeClient
from metal.errors import SpecError
from metal.planning.attested import WIPE_HEADER, wipe_row
from metal.planning.disks import SECTOR_4KN_BYTES
from metal.planning.root_disk import recorded_root
from specs.facts import Hardware
from specs.records import HostRecord, JobRecord
from specs.sizes import human_size

group = new_group("One host: show it, register it, approve it.", cls=NameOrCommand)
SERIAL_ALONE = (
    "A boot request carries no serial. Dell's and HPE's UUIDs hold it, so those machines are recognised;"
    " others are not under discovery off and hold: rackflow host approve MAC --as NAME tells the edge."
)
LINK_WORDS = {True: "up", False: "down", None: "unknown"}
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def host_row(host: HostRecord) -> dict[str, Any]:
    """A host as `hosts --json` lists it."""
    return {
        "name": host.name,
        "id": host.id,
        "phase": host.phase.value,
        "conditions": {c.type: c.status for c in host.conditions},
        "address": host.address,
        "bmc_address": host.bmc_address,
        "specset": host.specset,
        "lease": host.lease.model_dump(mode="json") if host.lease else None,
        "last_run": host.last_run,
    }


def hosts(*, json: Json = False) -> None:
    """List all hosts with phase, conditions and addresses."""
    with EdgeClient() as edge:
        known = edge.hosts()
        if json:
            show_json([host_row(host) for host in known])
            return
        at_work = {host.id: newest_job(edge, host) for host in known if busy(host)}
    rows = []
    for host in known:
        conditions = {c.type: c.status for c in host.conditions}
        state = f"{host.phase.value}" + (f" ({host.reason})" if host.reason not in (None, "ok") else "")
        in_sync = conditions.get("InSync", "Unknown")
        job = job_cell(at_work.get(host.id))
        rows.append((host.name, state, job, in_sync, host.address, host.bmc_address, host.spec))
    show_table(("name", "phase", "job", "in sync", "address", "bmc", "spec"), rows)


def newest_job(edge: EdgeClient, host: HostRecord) -> JobRecord | None:
    """The host's newest job, if it has had one."""
    return edge.job(host.name, host.last_job) if host.last_job is not None else None


def job_cell(job: JobRecord | None) -> str:
    """An open job in a list: what it does or waits for."""
    return f"{job_name(job)} {state_words(job)}" if job is not None and job.state not in FINAL else ""


@group.command("show", hidden=True)
def show(name: str, *, json: Json = False) -> None:
    """Everything about one host."""
    with EdgeClient() as edge:
        host = edge.host(name)
        job = newest_job(edge, host)
        wipes = edge.wipes(host.name) if job else []
    if json:
        told = host.model_dump(mode="json") | {"job": job.model_dump(mode="json") if job else None}
        show_json(told | {"wipes": [one.model_dump(mode="json") for one in wipes]})
        return
    pairs: list[tuple[str, object]] = [
        ("name", host.name),
        ("id", host.id),
        ("phase", host.phase.value),
        ("reason", host.message or host.reason),
        ("spec", host.spec),
        ("serial", host.serial),
        ("uuid", host.uuid),
        ("macs", " ".join(host.macs)),
        ("address", host.address),
        ("by DHCP", host.fixed_address),
        ("bmc", host.bmc_address),
        ("held by", holder_words(host.lease, now=datetime.now(UTC)) if host.lease else None),
        *job_pairs(job),
        ("root disk", ", ".join(recorded_root(host.installed))),
        ("last run", run_url(host.last_run)),
    ]
    pairs += [(c.type, f"{c.status}: {c.message}" if c.message else c.status) for c in host.conditions]
    show_table(("what", "value"), [(what, value) for what, value in pairs if value])
    if host.observation and host.observation.hardware:
        show_hardware(host.observation.hardware)
        show_raid(host.observation.hardware)
    if wipes:
        show_table(WIPE_HEADER, [wipe_row(one) for one in wipes])


def job_pairs(job: JobRecord | None) -> list[tuple[str, object]]:
    """The newest job: how it stands, what it waits for, what was lost on the way, what to do."""
    if job is None:
        return []
    pairs: list[tuple[str, object]] = [("job", f"{job_name(job)} of {job.by}: {state_words(job)}")]
    if job.state == "waiting" and job.wait is not None:
        pairs.append(("", job.wait.message))
    if job.state == "waiting-consent":
        pairs.append(("to go on", f"rackflow approve {job.host} --plan {(job.plan or '')[:12]}"))
    return pairs


def show_hardware(hardware: Hardware) -> None:
    """Processor, memory, NICs and disks as tables."""
    memory = human_size(hardware.memory_bytes) if hardware.memory_bytes else "unknown"
    model = f"{hardware.manufacturer} {hardware.product}"
    tpm = {"none": "no TPM", None: "TPM unknown"}.get(hardware.tpm, f"TPM {hardware.tpm}")
    line(f"{model}, {hardware.cpu_model}, {memory}, firmware {hardware.firmware}, {tpm}")
    show_table(
        ("nic", "mac", "link", "driver", "pci"),
        [(n.name, n.mac, LINK_WORDS[n.link], n.driver, n.pci_address) for n in hardware.nics],
    )
    show_table(
        ("disk", "serial", "wwn", "size", "medium", "model", "found", "erases by"),
        [
            (
                d.device,
                f"namespace of {d.drive_serial}" if d.drive_serial else d.serial,
                d.wwn,
                human_size(d.size_bytes),
                f"{d.medium}{' 4Kn' if d.logical_block_bytes == SECTOR_4KN_BYTES else ''}",
                d.model,
                "; ".join(d.found) or "blank",
                d.erase_problem or ", ".join(d.erases or ()),
            )
            for d in hardware.disks
        ],
    )


@group.command()
def add(
    name: Annotated[str | None, typer.Argument(help="Its name; without one it gets one.")] = None,
    *,
    mac: Annotated[str | None, typer.Option(help="MAC of any of its NICs.")] = None,
    uuid: Annotated[str | None, typer.Option(help="System UUID.")] = None,
    serial: Annotated[str | None, typer.Option(help="System serial number.")] = None,
    address: Annotated[
        str | None, typer.Option(help="Address that it gets by DHCP; refused when it is taken.")
    ] = None,
    bmc: Annotated[str | None, typer.Option(help="Address of its BMC.")] = None,
    bmc_user: Annotated[str | None, typer.Option(help="User of its BMC; the password is asked for.")] = None,
    json: Json = False,
) -> None:
    """Register a host before it is seen, by MAC, UUID, serial or BMC."""
    if not (mac or uuid or serial or bmc):
        raise SpecError("a host needs something to know it by", hint="give --mac, --uuid, --serial or --bmc")
    account = None
    if bmc:
        password = read_value(f"password of {bmc_user or 'the BMC user'} at {bmc}")
        account = {"address": bmc, "user": bmc_user or "", "password": password}
    with EdgeClient() as edge:
        host = edge.add_host(name, mac=mac, uuid=uuid, serial=serial, bmc=account, address=address)
    if json:
        show_json(host.model_dump(mode="json"))
    else:
        say(f"{host.name} is registered ({host.id}); power it on, and its boot request starts the inspection")
        if not (mac or uuid or bmc):
            say(SERIAL_ALONE)


@group.command()
def rm(name: Annotated[str, typer.Argument(help="Name or id of the host.")]) -> None:
    """Forget a host with its addresses, credentials and history; refused while a job has it."""
    with EdgeClient() as edge:
        edge.remove_host(name)
    say(f"{name} is forgotten; a spec that names its MAC, UUID or serial would let it in again")


@group.command()
def approve(
    what: Annotated[str, typer.Argument(help="MAC of a sighting, or a host's name.")],
    *,
    as_: Annotated[
        str | None, typer.Option("--as", help="Which host the machine with this MAC is, or its name.")
    ] = None,
) -> None:
    """Let a machine that is held boot the boot OS."""
    with EdgeClient() as edge:
        host = edge.approve_host(what, as_)
    say(f"{host.name} is approved: its next boot request gets the boot OS")
