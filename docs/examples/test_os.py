import pytest


@pytest.mark.vcluster(nodes=2)
def test_os_gets_its_parameters(vcluster):
    vcluster.scripts.add_os(
        "greeter",
        create='printf %s "$OSP_GREETING" | dd of="$DISK_0_PATH" conv=notrunc status=none',
        parameters={"greeting": "Text to put onto the first disk"},
    )
    web = vcluster.add_instance("web", "file", os="greeter+default", osparams={"greeting": "hello"})
    [disk] = web.primary.path("/srv/ganeti/file-storage/web.vc").glob("*.disk0")
    assert disk.read_bytes().startswith(b"hello")
