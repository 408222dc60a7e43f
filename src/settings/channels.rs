//! The lists of channels and symbols. An error states the valid form for all invalid items of a list; it repeats items
//! verbatim and in full, so that a misplaced secret is still recognised and masked.

use uw_websocket_core::channel::JoinForms;
use uw_websocket_core::channel::table::KNOWN;
use uw_websocket_core::event::{Channel, Symbol, Topic};
use uw_websocket_core::plan::listed;
use uw_websocket_core::settings::{ChannelChoice, Targets, WhenJoinsExceed};

use super::words::one_of;

use crate::likeness::nearest;

/// Maximum number of items in `CHANNELS`: counters are indexed by a byte.
const MAX_CHOICES: usize = 255;

/// Minimum similarity to a known channel's name, 0 to 1, for an unknown one to be considered a typo.
const SLIP: f64 = 0.75;
/// Minimum length of such a name: in a shorter one a single wrong letter is more than a quarter of it, and many names
/// differ by that.
const SLIP_LENGTH: usize = 4;

/// Reads `CHANNELS`: each item a channel, or a channel with a symbol.
pub(super) fn choices(text: &str) -> Result<Vec<ChannelChoice>, String> {
    let choices = distinct(text, choice)?;
    match choices.len() {
        0 => Err("must name at least one channel".to_owned()),
        1..=MAX_CHOICES => Ok(choices),
        _ => Err(format!("must name at most {MAX_CHOICES} channels")),
    }
}

/// Reads `TARGET_SYMBOLS`.
pub(super) fn targets(text: &str) -> Result<Targets, String> {
    if text.trim() == "*" {
        return Ok(Targets::WholeMarket);
    }
    if items(text).any(|item| item == "*") {
        return Err("`*` is the whole market and stands alone".to_owned());
    }
    let symbols = distinct(text, symbol)?;
    if symbols.is_empty() {
        return Err("must name at least one symbol, or be `*`".to_owned());
    }
    Ok(Targets::Symbols(symbols))
}

/// Reads `WHEN_JOINS_EXCEED`.
pub(super) fn when_joins_exceed(text: &str) -> Result<WhenJoinsExceed, String> {
    one_of(text, WhenJoinsExceed::ALL, WhenJoinsExceed::label)
}

/// Reads `REDIS_STREAM_MAXLEN_BY_CHANNEL`: pairs of channel and cap.
pub(super) fn caps(text: &str) -> Result<Vec<(Channel, u64)>, String> {
    let mut caps: Vec<(Channel, u64)> = Vec::new();
    let mut reasons = Vec::new();
    for item in items(text) {
        match cap(item) {
            Ok((channel, _)) if caps.iter().any(|(named, _)| *named == channel) => {
                reasons.push(format!("`{channel}` is named twice"));
            }
            Ok(pair) => caps.push(pair),
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() { Ok(caps) } else { Err(reasons.join("; ")) }
}

/// Returns the known channel that was probably meant by an unknown one.
pub(super) fn probably_meant(channel: &Channel) -> Option<&'static str> {
    let Channel::Other(name) = channel else { return None };
    let names = KNOWN.into_iter().map(|spec| spec.name);
    if name.len() >= SLIP_LENGTH { nearest(name, names, SLIP) } else { None }
}

fn choice(item: &str) -> Result<ChannelChoice, String> {
    let Some((name, ticker)) = item.split_once(':') else {
        let channel = channel(item)?;
        if channel.spec().is_some_and(|spec| spec.forms == JoinForms::Contract) {
            return Err(format!(
                "`{item}`: {channel} exists with a contract only, such as {channel}:ESZ6; {channel}_trades has all"
            ));
        }
        return Ok(ChannelChoice::Channel(channel));
    };
    let channel = channel(name.trim())?;
    let symbol = symbol(ticker.trim())?;
    match channel.spec() {
        Some(spec) if spec.forms == JoinForms::Plain => {
            Err(format!("`{item}`: {channel} exists for all symbols only, name it without one"))
        }
        Some(spec) if !channel.exists_for(symbol.as_str()) => {
            Err(format!("`{item}`: {channel} exists for {} only", listed(spec.tickers)))
        }
        _ => Ok(ChannelChoice::Topic(Topic { symbol: Some(symbol), channel })),
    }
}

/// A channel's name. One that differs from a known name only by case or by `-` for `_` is a mistake, not a new channel.
fn channel(name: &str) -> Result<Channel, String> {
    let valid = || format!("`{name}` is not a channel: 1 to 64 of a-z A-Z 0-9 _ - and no blank");
    let channel = Channel::parse(name).map_err(|_| valid())?;
    if Channel::RESERVED.contains(&name) {
        return Err(format!(
            "`{name}` cannot be a channel: the service has a key <KEY_PREFIX>:ws:{name} of its own"
        ));
    }
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    match Channel::known().find(|known| plain(known.name()) == plain(name)) {
        Some(known) if known != channel => Err(format!("`{name}` is spelt `{known}`")),
        _ => Ok(channel),
    }
}

fn symbol(item: &str) -> Result<Symbol, String> {
    let valid = || format!("`{item}` is not a symbol: 1 to 32 of A-Z 0-9 . - _ /");
    Symbol::parse(&item.to_ascii_uppercase()).map_err(|_| valid())
}

fn cap(item: &str) -> Result<(Channel, u64), String> {
    let valid = || format!("`{item}` must be a channel, `=` and a whole number, such as news=1000");
    let (name, cap) = item.split_once('=').ok_or_else(valid)?;
    let cap: i64 = cap.trim().parse().map_err(|_| valid())?;
    // Redis counts in signed 64 bits
    Ok((channel(name.trim())?, u64::try_from(cap).map_err(|_| valid())?))
}

/// Splits a comma-separated list into its trimmed, non-empty items.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Reads each item; keeps the first of equal ones, in order.
fn distinct<T: PartialEq>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let mut kept = Vec::new();
    let mut reasons = Vec::new();
    for item in items(text) {
        match read(item) {
            Ok(item) if kept.contains(&item) => {}
            Ok(item) => kept.push(item),
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() { Ok(kept) } else { Err(reasons.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let shown = |choice: &ChannelChoice| match choice {
            ChannelChoice::Channel(channel) => channel.to_string(),
            ChannelChoice::Topic(topic) => topic.to_string(),
        };
        choices(text).unwrap().iter().map(shown).collect()
    }

    #[test]
    fn channels_are_trimmed_and_kept_once_in_order() {
        assert_eq!(names(" news, price ,news,,lit_trades"), ["news", "price", "lit_trades"]);
    }

    #[test]
    fn a_channel_may_have_a_symbol_of_its_own() {
        assert_eq!(names("option_trades:spxw,option_trades"), ["option_trades:SPXW", "option_trades"]);
        assert_eq!(names("something_new:SPY"), ["something_new:SPY"]);
    }

    #[test]
    fn a_global_channel_takes_no_symbol() {
        assert!(choices("flow-alerts:SPY").unwrap_err().contains("for all symbols only"));
        assert!(choices("news:SPY").is_err());
        assert!(choices("lit_trades:SPY").unwrap_err().contains("for all symbols only"));
    }

    #[test]
    fn a_form_that_does_not_exist_is_refused_with_what_does() {
        let bare = choices("futures").unwrap_err();
        assert!(bare.contains("futures:ESZ6") && bare.contains("futures_trades"), "{bare}");
        assert_eq!(names("futures:esz6,futures_trades"), ["futures:ESZ6", "futures_trades"]);
        assert!(choices("periscope:SPY").unwrap_err().contains("exists for SPX, VIX, XSP and NANOS only"));
        assert_eq!(names("periscope:spx"), ["periscope:SPX"]);
    }

    #[test]
    fn a_known_channel_spelt_otherwise_is_refused_with_its_spelling() {
        assert_eq!(choices("flow_alerts").unwrap_err(), "`flow_alerts` is spelt `flow-alerts`");
        assert_eq!(choices("GEX-strike").unwrap_err(), "`GEX-strike` is spelt `gex_strike`");
    }

    #[test]
    fn a_name_that_our_own_keys_have_is_no_channel() {
        for name in Channel::RESERVED {
            for item in [name.to_owned(), format!("{name}:SPY")] {
                assert!(choices(&item).unwrap_err().contains(&format!("<KEY_PREFIX>:ws:{name}")), "{item}");
            }
        }
        assert_eq!(names("maps,status_of"), ["maps", "status_of"]);
    }

    #[test]
    fn every_bad_item_is_named() {
        let reason = choices("flow_alerts,a b,price:*").unwrap_err();
        assert!(
            reason.contains("flow_alerts") && reason.contains("a b") && reason.contains("`*`"),
            "{reason}"
        );
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert!(choices(" , ").is_err());
        assert!(targets(",").is_err());
    }

    #[test]
    fn symbols_are_upper_cased_and_kept_once() {
        let Targets::Symbols(symbols) = targets(" spy,QQQ,SPY, brk.b ").unwrap() else {
            panic!("not a list")
        };
        assert_eq!(symbols.iter().map(Symbol::as_str).collect::<Vec<_>>(), ["SPY", "QQQ", "BRK.B"]);
    }

    #[test]
    fn the_star_stands_alone() {
        assert_eq!(targets(" * "), Ok(Targets::WholeMarket));
        assert!(targets("SPY,*").unwrap_err().contains("stands alone"));
    }

    #[test]
    fn bad_symbols_are_refused() {
        assert!(targets("SPY,a:b").unwrap_err().contains("`a:b`"));
        assert!(targets("É").is_err());
    }

    #[test]
    fn caps_are_pairs() {
        let parsed = caps("option_trades=200000, news = 1000").unwrap();
        assert_eq!(
            parsed,
            [(Channel::parse("option_trades").unwrap(), 200_000), (Channel::parse("news").unwrap(), 1_000)]
        );
    }

    #[test]
    fn bad_caps_are_refused() {
        for text in [
            "news",
            "news=",
            "news=-1",
            "news=1e3",
            "flow_alerts=1",
            "news=1,news=2",
            "=5",
            "news=99999999999999999999",
        ] {
            assert!(caps(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_noticed() {
        assert_eq!(probably_meant(&Channel::parse("option_trade").unwrap()), Some("option_trades"));
        for (slip, meant) in [
            ("newz", "news"),
            ("nesw", "news"),
            ("new", ""),
            ("pric", "price"),
            ("prices", "price"),
            ("dex", ""),
        ] {
            let found = probably_meant(&Channel::parse(slip).unwrap());
            assert_eq!(found.unwrap_or_default(), meant, "{slip}");
        }
        assert_eq!(probably_meant(&Channel::parse("dark_pool").unwrap()), None);
        assert_eq!(probably_meant(&Channel::parse("news").unwrap()), None);
    }
}
