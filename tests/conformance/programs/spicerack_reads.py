"""Uses the RAPI client of Wikimedia's Spicerack; tells what it has seen as JSON."""

# Its modules are where it runs only.
# mypy: ignore-errors

import json
import os

from spicerack.ganeti import GanetiError, GanetiRAPI


def client(ca_file):
    return GanetiRAPI(
        os.environ["GANETI_RAPI_URL"],
        os.environ["GANETI_RAPI_USERNAME"],
        os.environ["GANETI_RAPI_PASSWORD"],
        30,
        ca_file,
    )


rapi = client(os.environ["GANETI_RAPI_CA_FILE"])
seen = {
    "cluster": rapi.info["name"],
    "master": rapi.master,
    "nodes": [node["id"] for node in rapi.nodes()],
    "groups": [group["name"] for group in rapi.groups(bulk=True)],
    "status": rapi.fetch_instance("web.vc")["status"],
    "mac": rapi.fetch_instance_mac("web.vc"),
}
for name, ask in {
    "unknown": lambda: rapi.fetch_instance("nosuch.vc"),
    "no mac": lambda: rapi.fetch_instance_mac("plain.vc"),
    "stranger": lambda: client(True).info,
}.items():
    try:
        ask()
    except GanetiError as error:
        seen[name] = str(error)
print(json.dumps(seen))
