# make run   build .venv from the lock and start the program with the real plans loaded
# make test  the whole suite on SQLite and on PostgreSQL
# make lock  resolve the dependencies anew (needs uv; nothing else does)
.DEFAULT_GOAL := help
.PHONY: help run test lock venv venv-test

help:
	@sed -n 's/^# //p' Makefile

venv:
	@scripts/install.sh runtime

venv-test:
	@scripts/install.sh test

run: venv
	@exec .venv/bin/machnuoc up --demo

test: venv-test
	@scripts/install_test_system.sh
	@scripts/run_tests.sh

lock:
	@scripts/lock.sh
