use super::{Block, blocks};

fn block(typed: bool, terminal: &str, lines: &[&str], at: usize) -> Block {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    Block { typed, terminal: terminal.to_owned(), lines, at }
}

#[test]
fn blocks_are_typed_and_shown_in_the_terminal_that_they_name() {
    let page = "Text.\n```sh alpha\nfirst\n\nsecond\n```\n```text\nshown\n```\n```toml\n[x]\n```\n\
                ```sh\nls\n```\n```text alpha\nlater\n```\n";
    let expected = [
        block(true, "alpha", &["first", "second"], 2),
        block(false, "alpha", &["shown"], 7),
        block(true, "", &["ls"], 13),
        block(false, "alpha", &["later"], 16),
    ];
    assert_eq!(blocks(page).unwrap(), expected);
    assert!(blocks("```sh\n```\n").unwrap_err().to_string().contains("line 1"));
}
