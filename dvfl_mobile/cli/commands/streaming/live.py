"""`dvfl-mobile live`: the camera, the label, live, in a browser."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_text
from dvfl_mobile.cli.interrupts import Interrupted
from dvfl_mobile.cli.options import ArtifactFolder, Json
from dvfl_mobile.errors import UsageError

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.streaming.policy import Policy

DEFAULT_ADDRESS = "127.0.0.1"

LiveAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Serve the page at this address of this machine, such as 192.168.1.5, over TLS, for a phone in the same "
        "network. Default: 127.0.0.1, for browsers here.",
        show_default=False,
    ),
]
Phone = Annotated[
    str | None,
    typer.Option(
        "--phone",
        metavar="SERIAL",
        help="Have a port of this Android phone, as adb calls it, lead to the page: adb reverse.",
        show_default=False,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="When to answer, how to smooth, and when to say nothing. Default: the usual policy.",
        show_default=False,
    ),
]
Export = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FOLDER",
        help="Write the page to this folder, for any static host, and end.",
        show_default=False,
    ),
]


def live(
    folder: ArtifactFolder,
    address: LiveAddress = None,
    phone: Phone = None,
    policy: PolicyFile = None,
    export: Export = None,
    json: Json = False,
) -> None:
    """Watch a camera, or a video, with an artifact for TFLite, in a browser.

    Serves a page, shows its address, and goes on until Ctrl-C. The page shows what the model says of the camera's
    pictures, which never leave the device that it is opened on.
    """
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.streaming.policy import Policy, read_policy

    if export is not None and (address is not None or phone is not None):
        other = "--address" if phone is None else "--phone"
        raise UsageError(f"--export writes files, and {other} is for a page that is served.", hint="Leave out one.")
    artifact = open_artifact(folder)
    chosen = Policy() if policy is None else read_policy(policy)
    if export is not None:
        _export(artifact, export, chosen, json=json)
    else:
        _serve(artifact, address or DEFAULT_ADDRESS, phone, chosen, json=json)


def _export(artifact: Artifact, folder: Path, policy: Policy, *, json: bool) -> None:
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.streaming.site import export_site

    with steps() as step:
        made = export_site(artifact, folder, policy, step)
    if json:
        print_json({"schema_version": 1, "path": str(made.folder), "size_bytes": made.size_bytes, "files": made.files})
    else:
        print_text(f"{made.folder}: {len(made.files)} files, {made.size_bytes / 1e6:.1f} MB, for any static host.")
        print_text(f"To try it: python3 -m http.server 8000 --bind 127.0.0.1 --directory {made.folder}")


def _serve(artifact: Artifact, address: str, phone: str | None, policy: Policy, *, json: bool) -> None:
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.devices.web.address import address_of
    from dvfl_mobile.streaming.serving import served

    where = address_of(address)
    if phone is not None and not where.is_loopback:
        raise UsageError(
            "--phone leads to a page on this machine's own address, and --address names another.",
            hint=f"Leave out one of both, or name a port: --address {DEFAULT_ADDRESS}:8080.",
        )
    if phone is not None:
        where = replace(where, phone=phone.removeprefix("android:"))
    with steps() as step, served(artifact, policy, where, step) as page:
        if json:
            print_json({"schema_version": 1, "address": page.address, "fingerprint": page.fingerprint})
        else:
            print_text(page.invitation)
            print_text("Ctrl-C ends it.")
        try:
            threading.Event().wait()
        except Interrupted:
            return
