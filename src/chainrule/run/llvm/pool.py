"""The threads that large loops are divided among: one pool for all compiled code of a process.

A loop is divided into more parts than there are threads. Whoever is free takes the next part, and
the thread that reached the loop is among them: it never waits for a thread that has not begun, so
that a core that is busy with something else costs nothing but its share. After its last part a
thread looks out for more for about a millisecond, as a program comes to its next large loop soon;
then it sleeps.

One loop at a time has the pool. Whoever comes to another one meanwhile, from a thread of Python's,
does it alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import signal
import sys
from typing import Any

from chainrule.run.llvm.instructions import Module
from chainrule.run.llvm.target import Target, host

RUN = "cr.pool.run"
DECLARATION = f"declare void @{RUN}(ptr, ptr, i64)"

# How often a thread looks for more before it sleeps: about a millisecond.
_LOOKS = 20_000
# How often the thread that waits for the last parts looks before it lets others have its core.
_WAITS = 2_000

# What tells a core that it only waits.
_PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
    "arm64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}

# What the threads share. It lies apart, so that writing one does not slow down reading another.
_SIZE = 1024
_PLACES = {
    "OPEN": 0,  # which loop has parts left, by a number that is never used again; 0 if none has
    "NEXT": 128,  # the next part that nobody has taken yet
    "INSIDE": 256,  # how many threads may still read the following four
    "FUNCTION": 384,  # does a part
    "TASK": 392,  # its first argument; the second is the number of the part
    "COUNT": 400,  # of the parts
    "NUMBER": 408,  # of the last loop
    "CORE": 416,  # which one whoever reached the loop is on
    "SLEEPERS": 512,  # how many threads sleep
    "TAKEN": 640,  # whether a loop has the pool
    "MUTEX": 768,
    "CONDITION": 896,
}

# A thread that is woken often begins on the core of whoever woke it, and is moved away only after
# some milliseconds: by then most loops are done. So it leaves that core by itself, to any other one
# that the process may use; where there is none, it stays.
_CORES = """
declare i32 @sched_getcpu()
declare i32 @getpid()
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @sched_setaffinity(i32, i64, ptr)

define internal i64 @core() #0 {
  %own = call i32 @sched_getcpu()
  %core = sext i32 %own to i64
  ret i64 %core
}

define internal void @leave(i64 %core) #0 {
entry:
  %cores = alloca [128 x i8], align 8
  call void @llvm.memset.p0.i64(ptr %cores, i8 0, i64 128, i1 false)
  %process = call i32 @getpid()
  %found = call i32 @sched_getaffinity(i32 %process, i64 128, ptr %cores)
  %unknown = icmp slt i32 %found, 0
  %beyond = icmp ugt i64 %core, 1023
  %stay = or i1 %unknown, %beyond
  br i1 %stay, label %end, label %go
go:
  %word = lshr i64 %core, 6
  %place = getelementptr i64, ptr %cores, i64 %word
  %bits = load i64, ptr %place, align 8
  %bit = and i64 %core, 63
  %one = shl i64 1, %bit
  %others = xor i64 %one, -1
  %left = and i64 %bits, %others
  store i64 %left, ptr %place, align 8
  call i32 @sched_setaffinity(i32 0, i64 128, ptr %cores)
  br label %end
end:
  ret void
}
"""
_NO_CORES = """
define internal i64 @core() #0 {
  ret i64 -1
}

define internal void @leave(i64 %core) #0 {
  ret void
}
"""

_TEXT = """
@cr.pool = internal global [SIZE x i8] zeroinitializer, align 128
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()

define void @cr.pool.reset() #0 {
  call void @llvm.memset.p0.i64(ptr OPEN, i8 0, i64 SIZE, i1 false)
  call i32 @pthread_mutex_init(ptr MUTEX, ptr null)
  call i32 @pthread_cond_init(ptr CONDITION, ptr null)
  ret void
}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define internal void @parts(ptr %function, ptr %task, i64 %count) #0 {
entry:
  br label %next
next:
  %part = atomicrmw add ptr NEXT, i64 1 seq_cst
  %more = icmp slt i64 %part, %count
  br i1 %more, label %work, label %done
work:
  call void %function(ptr %task, i64 %part)
  br label %next
done:
  ret void
}

define void @cr.pool.run(ptr %function, ptr %task, i64 %count) #0 {
entry:
  %was = atomicrmw xchg ptr TAKEN, i64 1 seq_cst
  %free = icmp eq i64 %was, 0
  br i1 %free, label %open, label %alone
open:
  store ptr %function, ptr FUNCTION
  store ptr %task, ptr TASK
  store i64 %count, ptr COUNT
  %core = call i64 @core()
  store i64 %core, ptr CORE
  %before = load i64, ptr NUMBER
  %number = add i64 %before, 1
  store i64 %number, ptr NUMBER
  store atomic i64 0, ptr NEXT seq_cst, align 8
  store atomic i64 %number, ptr OPEN seq_cst, align 8
  %sleepers = load atomic i64, ptr SLEEPERS seq_cst, align 8
  %asleep = icmp sgt i64 %sleepers, 0
  br i1 %asleep, label %wake, label %go
wake:
  call i32 @pthread_mutex_lock(ptr MUTEX)
  call i32 @pthread_cond_broadcast(ptr CONDITION)
  call i32 @pthread_mutex_unlock(ptr MUTEX)
  br label %go
go:
  call void @parts(ptr %function, ptr %task, i64 %count)
  store atomic i64 0, ptr OPEN seq_cst, align 8
  br label %wait
wait:
  %looks = phi i64 [ 0, %go ], [ %again, %rest ], [ 0, %yield ]
  %inside = load atomic i64, ptr INSIDE seq_cst, align 8
  %empty = icmp eq i64 %inside, 0
  br i1 %empty, label %close, label %look
look:
  %again = add i64 %looks, 1
  %long = icmp sgt i64 %again, WAITS
  br i1 %long, label %yield, label %rest
rest:
  PAUSE
  br label %wait
yield:
  call i32 @sched_yield()
  br label %wait
close:
  store atomic i64 0, ptr TAKEN seq_cst, align 8
  ret void
alone:
  %part = phi i64 [ 0, %entry ], [ %following, %alone ]
  call void %function(ptr %task, i64 %part)
  %following = add i64 %part, 1
  %left = icmp slt i64 %following, %count
  br i1 %left, label %alone, label %end
end:
  ret void
}

define ptr @cr.pool.worker(ptr %unused) #0 {
entry:
  br label %idle
idle:
  %seen = phi i64 [ 0, %entry ], [ %seen, %late ], [ %mine, %worked ]
  br label %look
look:
  %looks = phi i64 [ 0, %idle ], [ %again, %rest ], [ %again, %let ]
  %now = load atomic i64, ptr OPEN seq_cst, align 8
  %old = icmp eq i64 %now, %seen
  %none = icmp eq i64 %now, 0
  %nothing = or i1 %old, %none
  br i1 %nothing, label %rest, label %enter
rest:
  PAUSE
  %again = add i64 %looks, 1
  %turn = and i64 %again, 31
  %others = icmp eq i64 %turn, 0
  br i1 %others, label %let, label %look
let:
  call i32 @sched_yield()
  %long = icmp sgt i64 %again, LOOKS
  br i1 %long, label %sleep, label %look
sleep:
  call i32 @pthread_mutex_lock(ptr MUTEX)
  atomicrmw add ptr SLEEPERS, i64 1 seq_cst
  br label %check
check:
  %there = load atomic i64, ptr OPEN seq_cst, align 8
  %same = icmp eq i64 %there, %seen
  %zero = icmp eq i64 %there, 0
  %still = or i1 %same, %zero
  br i1 %still, label %doze, label %up
doze:
  call i32 @pthread_cond_wait(ptr CONDITION, ptr MUTEX)
  br label %check
up:
  atomicrmw sub ptr SLEEPERS, i64 1 seq_cst
  call i32 @pthread_mutex_unlock(ptr MUTEX)
  br label %enter
enter:
  atomicrmw add ptr INSIDE, i64 1 seq_cst
  %mine = load atomic i64, ptr OPEN seq_cst, align 8
  %closed = icmp eq i64 %mine, 0
  br i1 %closed, label %late, label %take
late:
  atomicrmw sub ptr INSIDE, i64 1 seq_cst
  br label %idle
take:
  %theirs = load i64, ptr CORE
  %own = call i64 @core()
  %crowded = icmp eq i64 %own, %theirs
  br i1 %crowded, label %move, label %begin
move:
  call void @leave(i64 %own)
  br label %begin
begin:
  %function = load ptr, ptr FUNCTION
  %task = load ptr, ptr TASK
  %count = load i64, ptr COUNT
  call void @parts(ptr %function, ptr %task, i64 %count)
  br label %worked
worked:
  atomicrmw sub ptr INSIDE, i64 1 seq_cst
  br label %idle
}
"""

_WORD = re.compile(r"\b[A-Z]{4,}\b")


@functools.cache
def address() -> int:
    """Where ``RUN`` begins. The first time, the threads are started; they never end."""
    from chainrule.run.llvm.engine import Library

    target = host()
    module = Module(target)
    module.functions.append(_text(target))
    library = Library(module)
    # Threads are in its code until the process has ended: it must not be given back before.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
    _start(library, target.threads - 1)
    # A process that is forked has the thread that forked, and no others.
    os.register_at_fork(after_in_child=lambda: _start(library, target.threads - 1))
    return library.address(RUN)


def _text(target: Target) -> str:
    declaration, pause = next(
        (found for cpu, found in _PAUSES.items() if target.triple.startswith(cpu)), ("", "")
    )
    words = {"PAUSE": pause, "WAITS": str(_WAITS), "LOOKS": str(_LOOKS), "SIZE": str(_SIZE)}
    for name, offset in _PLACES.items():
        words[name] = f"getelementptr (i8, ptr @cr.pool, i64 {offset})"
    cores = _CORES if sys.platform == "linux" else _NO_CORES
    return f"{declaration}\n{cores}{_WORD.sub(lambda m: words[m[0]], _TEXT)}"


def _start(library: Any, count: int) -> None:
    """Begin with ``count`` threads that sleep until there is something to do."""
    ctypes.CFUNCTYPE(None)(library.address("cr.pool.reset"))()
    process: Any = ctypes.CDLL(None)
    worker = ctypes.c_void_p(library.address("cr.pool.worker"))
    # Signals are for the threads of Python.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        for _ in range(count):
            thread = ctypes.c_ulong()
            if process.pthread_create(ctypes.byref(thread), None, worker, None):
                break  # fewer threads do as well, if a little later
            process.pthread_detach(thread)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
