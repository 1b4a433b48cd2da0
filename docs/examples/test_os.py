import pytest

SCRIPTS = {
    "create": '#!/bin/sh\nprintf %s "$OSP_GREETING" | dd of="$DISK_0_PATH" conv=notrunc status=none\n',
    "import": "#!/bin/sh\nexit 0\n",
    "export": "#!/bin/sh\nexit 0\n",
    "rename": "#!/bin/sh\nexit 0\n",
    "verify": "#!/bin/sh\nexit 0\n",
}
TEXTS = {
    "ganeti_api_version": "20\n",
    "variants.list": "default\n",
    "parameters.list": "greeting Text to put onto the first disk\n",
}


def install_os(node, name):
    folder = node.path(f"/srv/ganeti/os/{name}")
    folder.mkdir()
    for file, text in {**TEXTS, **SCRIPTS}.items():
        path = folder / file
        path.write_text(text)
        path.chmod(0o755 if file in SCRIPTS else 0o644)


@pytest.mark.vcluster(nodes=2)
def test_os_gets_its_parameters(vcluster):
    for node in vcluster.nodes:
        install_os(node, "greeter")
    web = vcluster.add_instance("web", "file", os="greeter+default", osparams={"greeting": "hello"})
    [disk] = web.primary.path("/srv/ganeti/file-storage/web.vc").glob("*.disk0")
    assert disk.read_bytes().startswith(b"hello")
