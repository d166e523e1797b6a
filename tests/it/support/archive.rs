//! Archives of blueprints.

/// A `tar.gz` with one directory.
pub(crate) fn archive<C: AsRef<[u8]>>(files: &[(&str, C)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, content) in files {
        let path = format!("blueprint/{name}");
        let mut header = tar::Header::new_gnu();
        let content = content.as_ref();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, path, content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}
