"""Has the library loaded and runs one operation after the other, each in a process of its own.

Requests are lines of JSON on the standard input: {"id", "directory", "log", "environment"}. The answers on the
standard output are {"id", "pid"} once the operation's process is there, and {"id", "code"} once it has ended; a
negative code is the signal that ended it. The process is the leader of its own group and does what
`python -m cloudify.dispatch DIRECTORY` does. When the input ends, everything that still runs is killed.
"""
import gc
import json
import os
import runpy
import selectors
import signal
import sys

IDLE_S = 900


def load():
    """Imports what every operation needs; the dispatcher itself is run anew by each of them."""
    import cloudify.dispatch  # noqa: F401
    del sys.modules['cloudify.dispatch']
    gc.collect()
    gc.freeze()


def child(request, inherited):
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    for descriptor in inherited:
        os.close(descriptor)
    log = os.open(request['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(request['environment'])
    sys.argv = ['cloudify.dispatch', request['directory']]


class Server:
    def __init__(self):
        # the standard streams are for the operations
        self.requests, self.replies = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.close(null)
        self.woken, self.wake = os.pipe()
        for descriptor in (self.woken, self.wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.requests, selectors.EVENT_READ)
        self.selector.register(self.woken, selectors.EVENT_READ)
        self.running = {}
        self.pending = b''

    def reply(self, message):
        line = json.dumps(message).encode() + b'\n'
        while line:
            line = line[os.write(self.replies, line):]

    def reap(self):
        try:
            while os.read(self.woken, 512):
                pass
        except BlockingIOError:
            pass
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            self.reply({'id': self.running.pop(pid), 'code': code})

    def fork(self, line):
        """Whether this is the new process."""
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            self.selector.close()
            child(request, (self.requests, self.replies, self.woken, self.wake))
            return True
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # it was faster
        self.running[pid] = request['id']
        self.reply({'id': request['id'], 'pid': pid})
        return False

    def serve(self):
        """True in each new process; False once there is nothing more to do."""
        while True:
            ready = [key.fd for key, _ in self.selector.select(IDLE_S)]
            if not ready and not self.running:
                return False
            if self.woken in ready:
                self.reap()
            if self.requests not in ready:
                continue
            received = os.read(self.requests, 65536)
            if not received:
                for pid in self.running:
                    try:
                        os.killpg(pid, signal.SIGKILL)
                    except OSError:
                        pass
                return False
            *lines, self.pending = (self.pending + received).split(b'\n')
            for line in lines:
                if self.fork(line):
                    return True


load()
if Server().serve():
    runpy.run_module('cloudify.dispatch', run_name='__main__', alter_sys=True)
