"""Which instances there are, and where: a small client of Ganeti's RAPI."""

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request


class UnknownInstance(Exception):
    """There is no instance of this name."""


class Refused(Exception):
    """RAPI does not let us do this."""


class JobFailed(Exception):
    """Ganeti could not do it; the number of the job tells an administrator where to look."""


class Inventory:
    """Asks the RAPI at `url`, such as https://cluster.example.org:5080."""

    def __init__(self, url, username, password, ca_file):
        self.url = url
        secret = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
        self.context = ssl.create_default_context(cafile=ca_file)

    def where(self):
        """Name the primary node of each instance."""
        return {one["name"]: one["pnode"] for one in self._ask("GET", "/2/instances?bulk=1")}

    def labels(self, instance):
        """Give the labels of an instance."""
        return sorted(self._ask("GET", f"/2/instances/{instance}")["tags"])

    def label(self, instance, text):
        """Put a label on an instance; return when it is there."""
        query = urllib.parse.urlencode({"tag": text})
        job = self._ask("PUT", f"/2/instances/{instance}/tags?{query}")
        change = {"job_info": ["queued"]}
        while change["job_info"][0] not in {"success", "error", "canceled"}:
            body = {
                "fields": ["status"],
                "previous_job_info": change["job_info"],
                "previous_log_serial": None,
            }
            change = self._ask("GET", f"/2/jobs/{job}/wait", body) or change
        if change["job_info"][0] != "success":
            raise JobFailed(job)

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, self.headers, method=method)  # noqa: S310 - https
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    raise UnknownInstance(path) from error
                if error.code in {401, 403}:
                    raise Refused(path) from error
                raise
