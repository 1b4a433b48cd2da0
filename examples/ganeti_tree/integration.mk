# Included by Makefile.am. What was built, as it would be installed, runs on virtual nodes (pytest-ganeti-vcluster).

INTEGRATION_TREE = $(abs_top_builddir)/integration-tree
PYTEST = pytest

.PHONY: py-tests-integration
py-tests-integration: all
	rm -rf $(INTEGRATION_TREE)
	$(MAKE) $(AM_MAKEFLAGS) install DESTDIR=$(INTEGRATION_TREE)
	$(PYTEST) --vcluster-ganeti=$(INTEGRATION_TREE) $(abs_top_srcdir)/test/py/integration
