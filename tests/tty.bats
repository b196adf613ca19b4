#!/usr/bin/env bats
# mpq-work on a terminal: the bar, Ctrl-C, Ctrl-Z. Python makes the pseudo-terminal, and is the shell on it.
# shellcheck disable=SC2154 # helpers set them

load helpers

# on_terminal SCRIPT: Python code with a terminal to run commands on; must end with 0 within 20 seconds.
on_terminal() {
	python3 -c 'import pty' 2>/dev/null || skip "no python3 with pty"
	cat >driver.py <<-'EOF'
		import errno, fcntl, os, pty, re, select, signal, struct, sys, termios, time

		COLUMNS = 70

		class Terminal:
		    """A terminal with one foreground job: a child that leads its process group, started by a session leader."""
		    def __init__(self, *argv, lflag=0):
		        self.seen = b""
		        self.report, told = os.pipe()
		        order, self.order = os.pipe()
		        self.shell, self.fd = pty.fork()
		        if self.shell == 0:
		            os.close(self.report); os.close(self.order)
		            self.lead(argv, lflag, told, order)
		        os.close(told); os.close(order)
		        self.pid = self.told()

		    def lead(self, argv, lflag, told, order):
		        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
		        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
		        mode = termios.tcgetattr(0)
		        mode[1] &= ~termios.OPOST
		        mode[3] |= lflag
		        termios.tcsetattr(0, termios.TCSANOW, mode)
		        pid = os.fork()
		        if pid == 0:
		            os.setpgid(0, 0)
		            os.tcsetpgrp(0, os.getpid())
		            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
		            os.close(told); os.close(order)
		            os.execvp(argv[0], argv)
		        os.write(told, struct.pack("i", pid))
		        while True:
		            _, status = os.waitpid(pid, os.WUNTRACED)
		            os.write(told, struct.pack("i", status))
		            if not os.WIFSTOPPED(status):
		                os.read(order, 1)
		                os._exit(0)
		            os.read(order, 1)
		            os.tcsetpgrp(0, pid)
		            os.kill(-pid, signal.SIGCONT)

		    def told(self):
		        """What the shell has to tell: the pid, then each status. Reads the screen meanwhile."""
		        deadline = time.monotonic() + 10
		        while True:
		            ready, _, _ = select.select([self.report, self.fd], [], [], 0.05)
		            if self.fd in ready:
		                self.look()
		            if self.report in ready:
		                return struct.unpack("i", os.read(self.report, 4))[0]
		            assert time.monotonic() < deadline, "no report; seen: %r" % self.seen

		    def look(self):
		        try:
		            self.seen += os.read(self.fd, 65536)
		        except OSError as e:
		            if e.errno != errno.EIO:
		                raise

		    def until(self, what):
		        deadline = time.monotonic() + 10
		        while not what():
		            if select.select([self.fd], [], [], 0.01)[0]:
		                self.look()
		            assert time.monotonic() < deadline, "in vain; seen: %r" % self.seen

		    def resize(self, columns):
		        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

		    def type(self, keys):
		        os.write(self.fd, keys)

		    def go(self):
		        os.write(self.order, b"x")

		def status(s):
		    return 128 + os.WTERMSIG(s) if os.WIFSIGNALED(s) else os.WEXITSTATUS(s)

		def state(pid):
		    try:
		        return open("/proc/%d/stat" % pid).read().rpartition(")")[2].split()[0]
		    except (FileNotFoundError, ProcessLookupError):
		        return "gone"

		def lines(name):
		    try:
		        return open(name).read().split()
		    except FileNotFoundError:
		        return []
	EOF
	cat >>driver.py
	try 0 python3 driver.py
}

# shellcheck disable=SC2016,SC2089 # for a shell that mpq-work starts
gated='mkfifo "go.$$"; echo "$$" >>begun; read -r x <"go.$$"; echo "end $1"'

setup_queue() {
	mpq-create q
	mpq-put q "$@"
	mpq-close q
	# shellcheck disable=SC2090
	export gated
}

@test "the bar is as wide as the terminal, not mixed with output, and gone at the end" {
	setup_queue one two three
	on_terminal <<-'EOF'
		t = Terminal("mpq-work", "-p", "-j1", "q", "sh", "-c", os.environ["gated"], "sh")
		for i in range(3):
		    t.until(lambda: len(lines("begun")) == i + 1)
		    t.until(lambda: t.seen.endswith(b"]"))
		    with open("go." + lines("begun")[i], "w") as f:
		        f.write("\n")
		assert status(t.told()) == 0
		t.go()
		t.until(lambda: t.seen.endswith(b"\r\x1b[K"))
		bars = re.findall(rb"\r\x1b\[K(q: [^\r\n]*)", t.seen)
		assert bars and all(COLUMNS - 4 < len(b) < COLUMNS for b in bars), bars
		text = re.sub(rb"q: \d+/\d+ [^\r\n]*\]", b"", t.seen)
		assert text.replace(b"\r\x1b[K", b"") == b"end one\nend two\nend three\n", text
	EOF
}

@test "output without a newline at its end does not disappear under the bar" {
	setup_queue one two
	on_terminal <<-'EOF'
		t = Terminal("mpq-work", "-p", "-j1", "q", "printf", "<%s>")
		assert status(t.told()) == 0
		t.go()
		t.until(lambda: b"<two>\n" in t.seen)
		assert b"<one>\n" in t.seen, t.seen
	EOF
}

@test "the bar follows the width of the terminal" {
	setup_queue one
	on_terminal <<-'EOF'
		t = Terminal("mpq-work", "-p", "-j1", "q", "sh", "-c", os.environ["gated"], "sh")
		t.until(lambda: lines("begun"))
		last = lambda: len((re.findall(rb"\r\x1b\[K(q: [^\r\n]*)", t.seen) or [b""])[-1])
		for columns in (120, 40, 12, 600, 70):      # 12: no room for all of the text; 600: more than is ever drawn
		    t.seen = b""
		    t.resize(columns)
		    t.until(lambda: min(columns, 500) - 4 < last() < columns)
		with open("go." + lines("begun")[0], "w") as f:
		    f.write("\n")
		assert status(t.told()) == 0
		t.go()
		t.until(lambda: t.seen.endswith(b"\r\x1b[K"))
	EOF
}

@test "in the background there is no bar; after fg there is" {
	setup_queue one
	on_terminal <<-'EOF'
		t = Terminal("bash", "-c", 'set -m; mpq-work -p -j1 q sh -c "$gated" sh & read -r x; fg >/dev/null')
		t.until(lambda: lines("begun"))             # the first bar would have been drawn before
		t.type(b"x\n")
		t.until(lambda: t.seen.endswith(b"]"))
		assert re.match(rb"x\r?\n\r\x1b\[Kq: 0/1 ", t.seen), t.seen
		with open("go." + lines("begun")[0], "w") as f:
		    f.write("\n")
		assert status(t.told()) == 0
		t.go()
		t.until(lambda: t.seen.endswith(b"\r\x1b[K"))
		assert re.search(rb"\]\r\x1b\[Kend one\n\r\x1b\[K", t.seen), t.seen
	EOF
}

@test "Ctrl-C while there is a bar: it is not mixed with what the job still writes, and gone at the end" {
	setup_queue one two
	on_terminal <<-'EOF'
		t = Terminal("mpq-work", "-p", "-j1", "q", "sh", "-c", os.environ["gated"], "sh")
		t.until(lambda: lines("begun"))
		t.type(b"\x03")
		t.until(lambda: b"^C" in t.seen and t.seen.endswith(b"]"))
		with open("go." + lines("begun")[0], "w") as f:
		    f.write("\n")
		assert status(t.told()) == 130
		t.until(lambda: t.seen.endswith(b"\r\x1b[K"))
		assert re.search(rb"\]\r\x1b\[Kend one\n\r\x1b\[K", t.seen), t.seen
		t.go()
	EOF
	stat_is size 1 q
}

@test "Ctrl-C once: the job does not see it and may end, then 130; Ctrl-C twice: it is ended" {
	setup_queue one two
	on_terminal <<-'EOF'
		t = Terminal("mpq-work", "-j1", "q", "sh", "-c", os.environ["gated"], "sh")
		t.until(lambda: lines("begun"))
		job = int(lines("begun")[0])
		t.type(b"\x03")
		t.until(lambda: "ShdPnd:\t0000000000000000" in open("/proc/%d/status" % t.pid).read() and b"^C" in t.seen)
		assert state(job) == "S"
		with open("go.%d" % job, "w") as f:
		    f.write("\n")
		assert status(t.told()) == 130
		t.until(lambda: b"end one\n" in t.seen)
		t.go()
	EOF
	stat_is size 1 q
	stat_is unfinished 1 q
	on_terminal <<-'EOF'
		t = Terminal("mpq-work", "-j1", "q", "sh", "-c", os.environ["gated"], "sh")
		t.until(lambda: len(lines("begun")) == 2)
		job = int(lines("begun")[1])
		t.type(b"\x03")
		t.until(lambda: "ShdPnd:\t0000000000000000" in open("/proc/%d/status" % t.pid).read() and b"^C" in t.seen)
		t.type(b"\x03")
		assert status(t.told()) == 130
		assert state(job) in ("gone", "Z")
		t.go()
	EOF
	stat_is size 1 q
	stat_is held 0 q
}

@test "Ctrl-Z stops the worker and its jobs, fg continues them" {
	setup_queue one
	on_terminal <<-'EOF'
		t = Terminal("mpq-work", "-p", "-j1", "q", "sh", "-c", os.environ["gated"], "sh")
		t.until(lambda: lines("begun"))
		job = int(lines("begun")[0])
		for i in range(2):
		    t.until(lambda: t.seen.endswith(b"]"))
		    t.type(b"\x1a")
		    s = t.told()
		    assert os.WIFSTOPPED(s) and os.WSTOPSIG(s) == signal.SIGTSTP
		    t.until(lambda: state(job) == "T")
		    t.until(lambda: t.seen.endswith(b"\r\x1b[K"))
		    t.go()
		    t.until(lambda: state(job) == "S")
		with open("go.%d" % job, "w") as f:
		    f.write("\n")
		assert status(t.told()) == 0
		t.go()
		t.until(lambda: b"end one\n" in t.seen)
	EOF
	stat_is unfinished 0 q
}

@test "stty tostop, and jobs that would ask the terminal: they do not stop for ever" {
	setup_queue one
	on_terminal <<-'EOF'
		job = 'echo out; stty -echo; (read -r x </dev/tty) 2>/dev/null || echo no terminal; read -r x || echo no input'
		t = Terminal("mpq-work", "-u", "-j1", "q", "sh", "-c", job, lflag=termios.TOSTOP)
		assert status(t.told()) == 0
		t.until(lambda: b"no input\n" in t.seen)
		assert b"out\n" in t.seen and b"no terminal\n" in t.seen, t.seen
		t.go()
	EOF
}

@test "the terminal goes away: the worker ends, its jobs with it, the message goes back" {
	setup_queue one
	on_terminal <<-'EOF'
		t = Terminal("mpq-work", "-j1", "q", "sh", "-c", os.environ["gated"], "sh")
		t.until(lambda: lines("begun"))
		job = int(lines("begun")[0])
		os.kill(t.shell, signal.SIGKILL)
		os.waitpid(t.shell, 0)
		deadline = time.monotonic() + 10
		while state(job) not in ("gone", "Z") or state(t.pid) not in ("gone", "Z"):
		    assert time.monotonic() < deadline
		    time.sleep(0.01)
	EOF
	wait_stat size 1 q
}
