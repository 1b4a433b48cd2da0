"""Uses Ganeti's own client, as its documentation has it; tells what it has seen as JSON."""

# Its modules are where it runs only.
# mypy: ignore-errors

import json
import os

import pycurl
from ganeti.rapi import client

HOST, PORT = os.environ["GANETI_RAPI_HOST"], int(os.environ["GANETI_RAPI_PORT"])
NAME = "web.vc"
USER = {"username": os.environ["GANETI_RAPI_USERNAME"], "password": os.environ["GANETI_RAPI_PASSWORD"]}

pycurl.global_init(pycurl.GLOBAL_ALL)
# Without a configuration it takes any certificate: it was not told of ours.
seen = {"unchecked": client.GanetiRapiClient(HOST, port=PORT, **USER).GetVersion()}
# With one, it does not take a certificate of others; the system's authorities know nothing of ours.
strict = client.GenericCurlConfig(use_curl_cabundle=True, verify_hostname=True)
try:
    client.GanetiRapiClient(HOST, port=PORT, curl_config_fn=strict, **USER).GetVersion()
except client.CertificateError as error:
    seen["stranger"] = type(error).__name__

rapi = client.GanetiRapiClient(
    HOST,
    port=PORT,
    curl_config_fn=client.GenericCurlConfig(cafile=os.environ["GANETI_RAPI_CA_FILE"], verify_hostname=True),
    **USER,
)


def done(job):
    assert rapi.WaitForJobCompletion(job, period=0.2), rapi.GetJobStatus(job)


seen["cluster"] = rapi.GetInfo()["name"]
seen["nodes"] = rapi.GetNodes()
done(
    rapi.CreateInstance(
        "create",
        NAME,
        "diskless",
        [],
        [],
        os_type=rapi.GetOperatingSystems()[0],
        pnode=seen["nodes"][0],
        name_check=False,
        ip_check=False,
    )
)
seen["instances"] = rapi.GetInstances()
seen["running"] = rapi.GetInstance(NAME)["status"]
done(rapi.ShutdownInstance(NAME))
seen["stopped"] = rapi.GetInstance(NAME)["status"]
done(rapi.StartupInstance(NAME))
seen["started"] = rapi.GetInstance(NAME)["status"]
done(rapi.AddInstanceTags(NAME, ["owner:me", "blue"]))
seen["tags"] = sorted(rapi.GetInstanceTags(NAME))
done(rapi.DeleteInstanceTags(NAME, ["blue"]))
seen["tags left"] = rapi.GetInstanceTags(NAME)
done(rapi.DeleteInstance(NAME))
seen["instances left"] = rapi.GetInstances()
try:
    rapi.GetInstance(NAME)
except client.GanetiApiError as error:
    seen["gone"] = error.code
pycurl.global_cleanup()
print(json.dumps(seen))
