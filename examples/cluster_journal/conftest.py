pytest_plugins = ["cluster_journal"]
