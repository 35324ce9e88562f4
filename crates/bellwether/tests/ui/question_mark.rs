//! An error in `main` that has nothing to do with serving.

fn main() -> bellwether::Result<()> {
    let _: u16 = "8o".parse()?;
    Ok(())
}
