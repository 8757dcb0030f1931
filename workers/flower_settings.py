"""The dashboard's settings, from the configuration: Flower executes this file (`--conf`).

So the login stands neither on a command line nor in an environment. A name here is an option of
Flower; what else stands here it ignores.
"""

from __future__ import annotations

from patchsync.config import load

_config = load()
_login = _config.flower_login()

address = _config.flower.address
port = _config.flower.port
if _login:
    basic_auth = [_login.get_secret_value()]
# Who is in may stop workers and send tasks; without a login everybody on this machine is.
read_only = _login is None
# A task is told by its arguments: the project, the page, the number of mails.
tasks_columns = "name,args,state,received,runtime,worker"
max_tasks = 10_000
logging = "error"
purge_offline_workers = 600
