//! Forbids io_uring to this thread and those that it starts, as a container's seccomp profile does.

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};
use std::io;

const SYS_SECCOMP_NR: u32 = 0;

/// From here on the system call `number` (such as `libc::SYS_io_uring_setup`) fails with EPERM.
pub(crate) fn forbid(number: libc::c_long) -> io::Result<()> {
    let instruction = |code: u32, jump_true, jump_false, k| sock_filter {
        code: code as u16,
        jt: jump_true,
        jf: jump_false,
        k,
    };
    let mut filter = [
        instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, SYS_SECCOMP_NR),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number as u32),
        instruction(
            BPF_RET | BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        instruction(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: plain numbers are passed, then a program that lives as long as the call.
    let result = unsafe {
        match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) {
            0 => libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ),
            failed => failed,
        }
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
