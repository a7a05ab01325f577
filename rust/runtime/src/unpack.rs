//! Unpacking a layer on two processors: a child reads, hashes and decompresses the blob, and we hash and write the archive
//! that comes through a pipe. (Two processes: threads would cost the binary 100 kB that nothing else needs.)

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyrt_core::layer::{Blob, Limits, Unpacked, unpack_archive};
use pyrt_core::paths::write_all;
use pyrt_core::sys::fork::{Fork, exit_now, fork_single};
use pyrt_core::{At, Code, Error, Result, channel, create};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use serde::{Deserialize, Serialize};

/// What the child may be ahead of us; the most that a user's pipe may hold where nobody has changed it.
const PIPE_BYTES: usize = 1 << 20;
/// What is decompressed at once.
const PIECE_BYTES: usize = 256 << 10;

/// What the child found.
#[derive(Serialize, Deserialize)]
enum Decoded {
    Whole { digest: String, size: u64 },
    Failed(Error),
}

/// As `layer::unpack`.
pub(crate) fn unpack(blob: File, destination: BorrowedFd<'_>, limits: &Limits) -> Result<Unpacked> {
    let (archive, write) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "layer")?;
    // Refused where the user has many pipes: then the two go more in step.
    let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
    let (ours, theirs) = channel::pair()?;
    let Fork::Parent { pidfd, .. } = fork_single(0, None).at("clone", "decoder")? else {
        drop(archive);
        drop(ours);
        let decoded = decode(blob, &write, limits.max_ratio).unwrap_or_else(Decoded::Failed);
        // Said before the archive ends, so that our parent finds it. If it is gone, so is who would read this.
        let _ = channel::send(&theirs, &serde_json::to_vec(&decoded).unwrap_or_default(), &[]);
        exit_now(0);
    };
    drop((blob, write, theirs));
    let archive = File::from(archive);
    let unpacked = unpack_archive(&archive, destination, limits);
    if unpacked.is_err() {
        // It may wait for more of a blob that nobody wants any more. While the pipe is open: a broken one is no reason.
        create::end(pidfd.as_fd());
    }
    let decoded = listen(&ours);
    create::end(pidfd.as_fd());
    match (unpacked, decoded) {
        // Why the archive has ended early.
        (_, Some(Decoded::Failed(error))) => Err(error),
        (Ok(unpacked), Some(Decoded::Whole { digest, size })) => {
            Ok(Unpacked { blob_digest: digest, blob_size: size, ..unpacked })
        }
        (Err(error), _) => Err(error),
        (Ok(_), None) => Err(Error::new(Code::Kernel, "unpack", "layer", "its decoder was ended")),
    }
}

fn listen(socket: &OwnedFd) -> Option<Decoded> {
    let message = channel::receive_message(socket, &mut Vec::new()).ok()?;
    serde_json::from_slice(&message).ok()
}

/// Writes the archive to the pipe.
fn decode(blob: File, archive: &OwnedFd, max_ratio: u64) -> Result<Decoded> {
    let mut blob = Blob::open(blob, max_ratio)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = blob.fill(&mut piece)?;
        if length == 0 {
            let (digest, size) = blob.finish()?;
            return Ok(Decoded::Whole { digest, size });
        }
        write_all(archive, &piece[..length]).at("write", "layer")?;
    }
}
