//! A machine where io_uring is forbidden. Owns a seccomp filter; the tests of the whole program install it as well.

use std::io;

/// Makes `io_uring_setup` fail with `errno`, as Docker's default profile does: on this thread, and in what it starts. Two
/// system calls and its own stack are all it needs, so that it may stand between fork and exec.
pub(super) fn forbid_io_uring(errno: i32) -> io::Result<()> {
    const fn statement(code: u32, jump_true: u8, jump_false: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k }
    }
    // The number of the system call is the first word of what the filter sees.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: takes no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` points to `filter`, both alive; the kernel copies them.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
