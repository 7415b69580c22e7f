//! Spellings of other systems that the parser does not know, said in words that it does.
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

/// What marks an ASOF join that has its condition in ON: no dialect that we speak has a use for the word.
const ASOF_MARK: &str = "GLOBAL";

/// `a ASOF [LEFT] JOIN b ON ..` is marked, and `FOR SYSTEM_TIME AS OF` the present left out: a view joins the rows that are there.
/// The present is `PROCTIME()`, `NOW()`, or a column that the text defines by `PROCTIME() AS name`.
pub(super) fn plain(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let words: Vec<usize> =
        (0..tokens.len()).filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_))).collect();
    let text = |place: usize| match words.get(place).map(|i| &tokens[*i].token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_uppercase(),
        Some(Token::LParen) => "(".into(),
        Some(Token::RParen) => ")".into(),
        Some(Token::Period) => ".".into(),
        _ => String::new(),
    };
    let texts: Vec<String> = (0..words.len()).map(text).collect();
    let at = |place: usize, list: &[&str]| {
        list.iter().enumerate().all(|(i, word)| texts.get(place + i).is_some_and(|text| text == word))
    };
    let snowflake = texts.iter().any(|text| text == "MATCH_CONDITION");
    let joins: [&[&str]; 4] = [
        &["ASOF", "JOIN"],
        &["ASOF", "LEFT", "JOIN"],
        &["ASOF", "LEFT", "OUTER", "JOIN"],
        &["ASOF", "INNER", "JOIN"],
    ];
    let system = ["FOR", "SYSTEM_TIME", "AS", "OF"];
    let named: Vec<&String> = (0..texts.len())
        .filter(|place| at(*place, &["PROCTIME", "(", ")", "AS"]))
        .filter_map(|place| texts.get(place + 4))
        .filter(|text| !text.is_empty())
        .collect();
    // How many words say the present.
    let present = |place: usize| match () {
        () if at(place, &["PROCTIME", "(", ")"]) || at(place, &["NOW", "(", ")"]) => Some(3),
        () if at(place + 1, &["."]) && texts.get(place + 2).is_some_and(|text| named.contains(&text)) => {
            Some(3)
        }
        () if texts.get(place).is_some_and(|text| named.contains(&text)) => Some(1),
        () => None,
    };
    let (mut marked, mut left_out): (Vec<usize>, Vec<usize>) = (vec![], vec![]);
    for place in 0..texts.len() {
        if !snowflake && joins.iter().any(|join| at(place, join)) {
            marked.push(words[place]);
        }
        if let (true, Some(length)) = (at(place, &system), present(place + system.len())) {
            left_out.extend(&words[place..place + system.len() + length]);
        }
    }
    for i in marked {
        tokens[i].token = Token::make_keyword(ASOF_MARK);
    }
    for i in left_out {
        tokens[i].token = Token::Whitespace(Whitespace::Space);
    }
    tokens
}
