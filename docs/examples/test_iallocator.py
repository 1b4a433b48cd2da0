import pytest

LAST_NODE = """\
#!/usr/bin/env python3
import json
import sys

with open(sys.argv[1]) as file:
    nodes = sorted(json.load(file)["nodes"])
print(json.dumps({"success": True, "info": "the last one", "result": [nodes[-1]]}))
"""


@pytest.mark.vcluster(nodes=3)
def test_allocator_is_asked(vcluster):
    vcluster.scripts.add_iallocator("last-node", LAST_NODE)
    web = vcluster.add_instance("web", iallocator="last-node")
    assert web.primary.name == "node3.vc"
