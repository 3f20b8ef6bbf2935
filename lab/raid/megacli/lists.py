"""MegaCli's commands that show things."""

from lab.raid import model
from lab.raid.megacli import forms
from lab.raid.megacli.answers import Answer, Handler, drives_of, failed, ids_of, where
from lab.raid.megacli.grammar import Line
from lab.raid.model import Controller


def adapter(controller: Controller, _line: Line) -> Answer:
    """AdpAllInfo."""
    return Answer(forms.adapter_lines(controller))


def pci(controller: Controller, _line: Line) -> Answer:
    """AdpGetPciInfo: hexadecimal numbers without a sign of it."""
    _, bus, rest = controller.pci.split(":")
    device, _, function = rest.partition(".")
    return Answer([
        f"PCI information for Controller {controller.index}", "-" * 32,
        f"Bus Number      : {int(bus, 16):x}",
        f"Device Number   : {int(device, 16):x}",
        f"Function Number : {int(function, 16):x}", "",
    ])  # fmt: skip


def drives(controller: Controller, _line: Line) -> Answer:
    """PDList: what is in the slots."""
    present = [one for one in controller.drives if one.condition != "missing"]
    lines = [line for one in present for line in forms.drive_lines(controller, one)]
    return Answer([f"Adapter #{controller.index}", "", *lines])


def drive_info(controller: Controller, line: Line) -> Answer:
    """PDInfo of some drives."""
    wanted = drives_of(controller, line.values.get("drives"))
    return Answer([text for one in wanted for text in forms.drive_lines(controller, one)])


def volumes(controller: Controller, line: Line) -> Answer:
    """LDInfo."""
    head = ["", f"Adapter {controller.index} -- Virtual Drive Information:"]
    if not controller.volumes:
        return Answer([*head, f"Adapter {controller.index}: No Virtual Drive Configured."])
    shown = [model.volume_of(controller, number) for number in ids_of(controller, line)]
    return Answer(
        [*head, *(text for one in shown for text in (*forms.volume_lines(controller, one), "", ""))]
    )


def volumes_and_drives(controller: Controller, _line: Line) -> Answer:
    """LdPdInfo."""
    lines = [f"Adapter #{controller.index}", "", f"Number of Virtual Disks: {len(controller.volumes)}"]
    for volume in controller.volumes:
        lines += forms.volume_lines(controller, volume) + forms.span_lines(controller, volume.group)
    return Answer(lines)


def groups(controller: Controller, _line: Line) -> Answer:
    """CfgDsply."""
    return Answer(forms.group_lines(controller))


def enclosures(controller: Controller, _line: Line) -> Answer:
    """EncInfo."""
    found = sorted({one.enclosure for one in controller.drives if one.enclosure is not None})
    lines = [f"    Number of enclosures on adapter {controller.index} -- {len(found)}", ""]
    for place, number in enumerate(found):
        inside = [one for one in controller.drives if one.enclosure == number]
        lines += [
            f"    Enclosure {place}:",
            f"    Device ID                     : {number}",
            f"    Number of Slots               : {max(one.slot for one in inside) + 1}",
            f"    Number of Physical Drives     : {sum(one.condition != 'missing' for one in inside)}",
            "    Status                        : Normal",
            "",
        ]
    return Answer(lines)


def battery(controller: Controller, _line: Line) -> Answer:
    """AdpBbuCmd -GetBbuStatus."""
    if controller.battery == "missing":
        reason = " The required hardware component is not present.  "
        return failed(
            f"Adapter {controller.index}: Get BBU Status Failed.",
            "",
            "FW error description: ",
            reason,
            code=0x22,
        )
    broken = controller.battery == "failed"
    return Answer([
        f"BBU status for Adapter: {controller.index}", "", "BatteryType: BBU", "Voltage: 3996 mV",
        "Current: 0 mA", "Temperature: 33 C",
        f"Battery State: {'Failed' if broken else 'Optimal'}", "BBU Firmware Status:", "",
        "  Battery Pack Missing                    : No",
        f"  Battery Replacement required            : {'Yes' if broken else 'No'}",
    ])  # fmt: skip


def preserved(controller: Controller, _line: Line) -> Answer:
    """GetPreservedCacheList."""
    listed = {one.id for one in controller.volumes}
    lines = [
        f"Virtual Drive(Target ID {number:02d}): {'Offline' if number in listed else 'Missing'}."
        for number in controller.pinned
    ]
    return Answer(
        [f"Adapter #{controller.index}", "", *(lines or ["No Virtual Drive has Preserved Cache Data."])]
    )


def volume_progress(controller: Controller, line: Line) -> Answer:
    """LDBI and LDInit -ShowProg."""
    task = "Background Initialization" if line.command == "ldbi" else "Initialization"
    lines = []
    for number in ids_of(controller, line):
        volume = model.volume_of(controller, number)
        if volume.initialising is None:
            lines.append(f"{task} on VD #{number} is not in Progress.")
        else:
            done = f"Completed {int(volume.initialising)}% in 0 Minutes."
            lines.append(f"{task} on VD #{number} (target id #{number}) {done}")
    return Answer(lines)


def rebuild_progress(controller: Controller, line: Line) -> Answer:
    """PDRbld -ShowProg."""
    lines = []
    for drive in drives_of(controller, line.values.get("drives")):
        if drive.condition == "rebuilding":
            place = f"Enclosure {drive.enclosure}, Slot {drive.slot}"
            done = f"Completed {int(drive.progress or 0)}% in 0 Minutes."
            lines.append(f"Rebuild Progress on Device at {place} {done}")
        else:
            lines.append(f"Device(Encl-{drive.enclosure} Slot-{drive.slot}) is not in rebuild process")
    return Answer(lines)


def count_volumes(controller: Controller, _line: Line) -> Answer:
    """LDGetNum, whose code is the count."""
    count = len(controller.volumes)
    return Answer([f"Number of Virtual Drives Configured on Adapter {controller.index}: {count}"], count)


def count_drives(controller: Controller, _line: Line) -> Answer:
    """PDGetNum, whose code is the count."""
    count = sum(one.condition != "missing" for one in controller.drives)
    return Answer([f" Number of Physical Drives on Adapter {controller.index}: {count}"], count)


def passes_through(controller: Controller, _line: Line) -> Answer:
    """AdpGetProp EnableJBOD."""
    index = controller.index
    if not controller.limits.jbod:
        return failed(f"Adapter {index}: Failed to Get Adapter Properties.")
    return Answer([f"Adapter {index}: JBOD: {'Enabled' if controller.jbod_mode else 'Disabled'}"])


def foreign(controller: Controller, line: Line) -> Answer:
    """CfgForeign: how many configurations of others there are, or that they are forgotten.

    A drive that is bad keeps its own until it is made good.
    """
    index = controller.index
    good = [one for one in controller.drives if one.foreign and one.condition == "good"]
    names = list(dict.fromkeys(one.foreign for one in good))
    if not names:
        return Answer([f"There is no foreign configuration on controller {index}."])
    if "clear" in line.words:
        for one in good:
            one.foreign = None
        return Answer(
            [f"Foreign configuration {n} is cleared on controller {index}." for n in range(len(names))]
        )
    if line.words & {"scan", "dsply", "preview"}:
        return Answer([f"There are {len(names)} foreign configuration(s) on controller {index}."])
    return failed(f"Failed to import foreign configuration on controller {index}.", code=0x32)


def boot_drive(controller: Controller, _line: Line) -> Answer:
    """AdpBootDrive -Get."""
    booting = next((one for one in controller.volumes if one.boot), None)
    if booting is None:
        return failed(f"Adapter {controller.index}: No Virtual drive set as boot drive.")
    return Answer(
        [f"Adapter {controller.index}: Boot Virtual Drive - #{booting.id} (target id - {booting.id})."]
    )


def locate(controller: Controller, line: Line) -> Answer:
    """PdLocate: a light, which nobody sees here."""
    what = "Stop" if "stop" in line.words else "Start"
    sent = f"PD Locate {what} Command was successfully sent to Firmware "
    return Answer([
        f"Adapter: {controller.index}: Device at {where(one)}  -- {sent}"
        for one in drives_of(controller, line.values.get("drives"))
    ])  # fmt: skip


HANDLERS: dict[str, Handler] = {
    "adpallinfo": adapter,
    "adpgetpciinfo": pci,
    "pdlist": drives,
    "pdinfo": drive_info,
    "ldinfo": volumes,
    "ldpdinfo": volumes_and_drives,
    "cfgdsply": groups,
    "encinfo": enclosures,
    "adpbbucmd": battery,
    "getpreservedcachelist": preserved,
    "ldbi": volume_progress,
    "pdrbld": rebuild_progress,
    "ldgetnum": count_volumes,
    "pdgetnum": count_drives,
    "adpgetprop": passes_through,
    "cfgforeign": foreign,
    "pdlocate": locate,
}
