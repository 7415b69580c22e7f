//! DataFusion's own spellings, for texts that are not PostgreSQL's: `{a: 1}`, `STRUCT(1 AS a)`, `MAP {..}`, `* EXCLUDE (a)`, `FROM VALUES ..`,
//! `sum(x IGNORE NULLS)`. What PostgreSQL's grammar reads is read by it, so that these change the meaning of nothing.
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::any::TypeId;

/// PostgreSQL's grammar.
pub(crate) const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// PostgreSQL's grammar with DataFusion's spellings.
#[derive(Debug)]
pub(crate) struct Wide;

macro_rules! allowed {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            true
        })*
    };
}

impl Dialect for Wide {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        POSTGRES.is_delimited_identifier_start(c)
    }

    fn is_identifier_start(&self, c: char) -> bool {
        POSTGRES.is_identifier_start(c)
    }

    fn is_identifier_part(&self, c: char) -> bool {
        POSTGRES.is_identifier_part(c)
    }

    fn is_reserved_for_identifier(&self, word: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(word)
    }

    fn is_custom_operator_part(&self, c: char) -> bool {
        POSTGRES.is_custom_operator_part(c)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    fn parse_statement(&self, parser: &mut Parser) -> Option<Result<Statement, ParserError>> {
        POSTGRES.parse_statement(parser)
    }

    // PostgreSQL's.
    allowed! {
        supports_unicode_string_literal supports_filter_during_aggregation supports_group_by_expr
        allow_extract_custom allow_extract_single_quotes supports_create_index_with_clause
        supports_explain_with_utility_options supports_listen_notify supports_factorial_operator
        supports_bitwise_shift_operators supports_comment_on supports_load_extension
        supports_named_fn_args_with_colon_operator supports_named_fn_args_with_expr_name
        supports_empty_projections supports_nested_comments supports_string_escape_constant
        supports_numeric_literal_underscores supports_array_typedef_with_brackets supports_geometric_types
        supports_set_names supports_alter_column_type_using supports_notnull_operator
        supports_interval_options supports_insert_table_alias supports_create_table_like_parenthesized
        supports_select_wildcard_with_alias supports_comma_separated_trim supports_xml_expressions
        supports_comment_optimizer_hint
    }

    // DataFusion's.
    allowed! {
        supports_dictionary_syntax supports_struct_literal support_map_literal_syntax
        supports_map_literal_with_angle_brackets supports_select_wildcard_except
        supports_select_wildcard_exclude supports_select_wildcard_replace supports_select_wildcard_rename
        supports_values_as_table_factor supports_parens_around_table_factor
        supports_window_function_null_treatment_arg supports_projection_trailing_commas
    }
}

/// Parses by PostgreSQL's grammar, and else with DataFusion's spellings; what neither reads fails as PostgreSQL's does.
pub(crate) fn parsed<T, E>(
    tokens: &[TokenWithSpan],
    parse: impl Fn(&'static dyn Dialect, Vec<TokenWithSpan>) -> Result<T, E>,
) -> Result<T, E> {
    if is_from_values(tokens) {
        return parse(&Wide, tokens.to_vec());
    }
    parse(&POSTGRES, tokens.to_vec()).or_else(|why| parse(&Wide, tokens.to_vec()).map_err(|_| why))
}

/// `FROM VALUES (`, which would be read as a function of that name.
fn is_from_values(tokens: &[TokenWithSpan]) -> bool {
    let words: Vec<&Token> =
        tokens.iter().map(|token| &token.token).filter(|t| !matches!(t, Token::Whitespace(_))).collect();
    let is = |token: &Token, keyword| matches!(token, Token::Word(word) if word.keyword == keyword);
    words.windows(3).any(|three| {
        (is(three[0], Keyword::FROM) || is(three[0], Keyword::JOIN))
            && is(three[1], Keyword::VALUES)
            && *three[2] == Token::LParen
    })
}

#[cfg(test)]
mod tests {
    use crate::declare::text::query;

    #[test]
    fn spellings_of_datafusion_are_read_where_postgresqls_grammar_fails() {
        let cases = [
            ("SELECT {a: 1}", "SELECT {a: 1}"),
            ("SELECT STRUCT(1 AS a) AS s", "SELECT STRUCT(1 AS a) AS s"),
            ("SELECT MAP {'a': 1} FROM t", "SELECT MAP {'a': 1} FROM t"),
            ("SELECT * EXCLUDE (a) FROM t", "SELECT * EXCLUDE (a) FROM t"),
            ("SELECT a FROM VALUES (1) t(a)", "SELECT a FROM (VALUES (1)) t (a)"),
            ("SELECT a FROM VALUES (NULL, 1)", "SELECT a FROM (VALUES (NULL, 1))"),
            ("SELECT struct(1, 2) FROM (t)", "SELECT STRUCT(1, 2) FROM (t)"),
            ("SELECT {a: 2 ^ 3 || 'x' = 'y'}", "SELECT {a: 2 ^ 3 || 'x' = 'y'}"),
        ];
        for (written, expected) in cases {
            let found = query(written).unwrap_or_else(|why| panic!("{written}: {why}"));
            assert_eq!(found.to_string(), expected);
            assert_eq!(query(expected).map(|again| again.to_string()).ok().as_deref(), Some(expected));
        }
        assert!(query("SELECT a a a FROM t").is_err());
    }
}
