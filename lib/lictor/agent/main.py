"""`consul agent`: from the arguments to a running agent and its exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys

from lictor import logs
from lictor.agent import banner, lock, ports
from lictor.agent.child import Launcher, Run
from lictor.agent.reloading import reloaded
from lictor.agent.start_faults import start_fault, watches_fault
from lictor.agent.supervisor import Failed, Supervisor, write_pid_file
from lictor.agent.tokens import TokenStore
from lictor.config import identity, load, sources
from lictor.config.errors import ConfigError
from lictor.config.goflags import FlagError, HelpWanted
from lictor.config.runtime import RuntimeConfig, TlsConfig, config_path
from lictor.config.sources import CommandLine
from lictor.rpc.runfile import run_file_path
from lictor.tls.wanted import GRANT, auto_encrypted, wants_tls

USAGE = "Usage: consul agent [options]\n\nCommand Options\n\n"
SERVER_DAEMONS = ("apid", "gossipd", "raftd", "dnsd", "checkd")
"""In starting order: the one that is slowest to come up first, then what the others wait for."""
CLIENT_DAEMONS = ("apid", "gossipd", "dnsd", "checkd")

log = logging.getLogger("agent")


def main(arguments: list[str]) -> int:
    """Run the agent; returns its exit code."""
    try:
        line = sources.command_line(arguments)
    except HelpWanted:
        print(USAGE + sources.agent_flags().usage(), file=sys.stderr)
        return 0
    except FlagError as error:
        sys.stderr.write(f"{error}\nUsage:\n{sources.agent_flags().defaults()}")
        sys.stderr.flush()
        banner.error(f"error parsing flags: {error}")
        return 1
    except ConfigError as error:
        banner.error(str(error))
        return 1
    try:
        return start(line)
    except (ConfigError, Failed) as error:
        banner.error(str(error).rstrip("\n"))
        return 1


def start(line: CommandLine) -> int:
    """Resolve the configuration, take the data directory, and supervise until the end.

    Raises ConfigError and Failed for what keeps the agent from running.
    """
    built = load.from_command_line(line)
    config = identity.settle(built.config)
    temporary = config.data_dir if not built.config.data_dir else ""
    try:
        holder = lock.acquire(config.data_dir)
        try:
            return _supervise(line, config, built.warnings)
        finally:
            os.close(holder)
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _supervise(line: CommandLine, config: RuntimeConfig, warnings: list[str]) -> int:
    ports.check(config)
    config = ports.choose_api_port(config)
    tokens = TokenStore(config.data_dir, config.acl.enable_token_persistence)
    try:
        logs.setup(config.log)
        forget_run_files(config.data_dir)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    if config.pid_file:
        try:
            write_pid_file(config.pid_file)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(f"Could not open pid file: open {config.pid_file}: {reason}") from None
    banner.output(banner.START)
    for text in banner.lines(config):
        banner.info(text)
    banner.info("")
    banner.output(f"{banner.LOG_BEGINS}\n")
    for warning in warnings:
        log.warning(warning)
    if fault := tls_fault(config) or start_fault(config):
        log.error("Error starting agent", extra=logs.fields(error=fault))
        log.info("Exit code", extra=logs.fields(code=1))
        return 1
    config = tokens.applied(config)
    try:
        config.save(config_path(config.data_dir))
    except OSError as error:
        raise ConfigError(str(error)) from None

    def reload(running: RuntimeConfig) -> RuntimeConfig:
        config = reloaded(running, load.from_command_line(line).config)
        if fault := tls_fault(config):
            raise ConfigError(f"Failed reloading tls configuration: {fault}")
        if config.watches and (fault := watches_fault(config)):
            raise ConfigError(f"Failed reloading watches: {fault}")
        return tokens.applied(config)

    supervisor = Supervisor(config, daemons_of, reload, announce=_announce, tokens=tokens)
    try:
        code = supervisor.run()
        log.info("Exit code", extra=logs.fields(code=code))
        return code
    finally:
        if config.pid_file:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(config.pid_file)


def tls_fault(config: RuntimeConfig) -> str:
    """What is wrong with the TLS settings and their files, or nothing."""
    if not wants_tls(config) and config.tls.min_version == TlsConfig().min_version:
        return ""
    from lictor.tls.configurator import warn
    from lictor.tls.material import TlsError

    try:
        warn(config)
    except TlsError as error:
        return str(error)
    if auto_encrypted(config) and not (config.join_lan.start_join or config.join_lan.retry_join):
        return "AutoEncrypt failed: No servers to request AutoEncrypt.Sign"
    return ""


def forget_run_files(data_dir: str) -> None:
    """Remove what daemons of an earlier run left: their ports may be somebody else's by now. Raises OSError."""
    for name in (*SERVER_DAEMONS, GRANT):
        run_file_path(data_dir, name).unlink(missing_ok=True)


def daemons_of(config: RuntimeConfig) -> dict[str, Run]:
    """The daemons this agent runs."""
    names = SERVER_DAEMONS if config.server_mode else CLIENT_DAEMONS
    daemons: dict[str, Run] = {name: Launcher(f"{name}.main") for name in names}
    for number in range(2, config.http.workers + 1):
        # Further processes of apid, which share its HTTP ports.
        daemons[f"apid-{number}"] = Launcher("apid.main", (number,))
    if config.watches:
        daemons["watcher"] = Launcher("lictor.agent.watcher")
    return daemons


def _announce() -> None:
    banner.output(banner.RUNNING)
