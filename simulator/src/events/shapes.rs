//! The payloads of the channels as the vendor documents them, as texts for templates.

use super::number::NumberPlace;

/// How a channel's events look and how often they come.
#[derive(Debug)]
pub(super) struct Shape {
    /// The channel; empty is any other.
    pub(super) channel: &'static str,
    /// The payload.
    pub(super) text: &'static str,
    /// Where the event number is.
    pub(super) number: NumberPlace,
    /// Usual events a second over all symbols, in hundredths.
    pub(super) weight: u32,
    /// Whether a channel that is joined in its global form has events of many symbols.
    pub(super) has_symbols: bool,
    /// Whether `channel:SYMBOL` has events.
    pub(super) per_ticker: bool,
}

impl Shape {
    /// The shape of a channel's events.
    pub(super) fn of(channel: &str) -> &'static Shape {
        SHAPES.iter().find(|shape| shape.channel == channel).unwrap_or(&OTHER)
    }
}

static SHAPES: [Shape; 11] = [
    Shape {
        channel: "option_trades",
        text: OPTION_TRADE,
        number: NumberPlace::Uuid("id"),
        weight: 10_000,
        has_symbols: true,
        per_ticker: true,
    },
    Shape {
        channel: "flow-alerts",
        text: FLOW_ALERT,
        number: NumberPlace::Uuid("id"),
        weight: 150,
        has_symbols: true,
        per_ticker: false,
    },
    Shape {
        channel: "price",
        text: r#"{"ticker":"<symbol>","close":"<close>","time":<ms>,"vol":<cumulative>}"#,
        number: NumberPlace::Cumulative("vol"),
        weight: 200,
        has_symbols: true,
        per_ticker: true,
    },
    Shape {
        channel: "gex",
        text: GEX,
        number: NumberPlace::Fraction("gamma_per_one_percent_move_oi"),
        weight: 60,
        has_symbols: true,
        per_ticker: true,
    },
    Shape {
        channel: "gex_strike",
        text: GEX_STRIKE,
        number: NumberPlace::Fraction("call_gamma_oi"),
        weight: 3_000,
        has_symbols: true,
        per_ticker: true,
    },
    Shape {
        channel: "gex_strike_expiry",
        text: GEX_STRIKE_EXPIRY,
        number: NumberPlace::Fraction("call_gamma_oi"),
        weight: 10_000,
        has_symbols: true,
        per_ticker: true,
    },
    Shape {
        channel: "news",
        text: r#"{"headline":"<symbol> supplier sees more export deals signed, item #<number>","timestamp":"<iso>","source":"social-media","tickers":["<symbol>"],"is_trump_ts":false}"#,
        number: NumberPlace::Tail("headline"),
        weight: 3,
        has_symbols: true,
        per_ticker: false,
    },
    Shape {
        channel: "lit_trades",
        text: EQUITY_TRADE,
        number: NumberPlace::Cumulative("volume"),
        weight: 10_000,
        has_symbols: true,
        per_ticker: false,
    },
    Shape {
        channel: "off_lit_trades",
        text: EQUITY_TRADE,
        number: NumberPlace::Cumulative("volume"),
        weight: 5_000,
        has_symbols: true,
        per_ticker: false,
    },
    Shape {
        channel: "net_flow",
        text: r#"{"ticker":"<symbol>","net_call_prem":"<premium>.<number>","net_call_vol":<size>,"net_put_prem":"<premium>.00","net_put_vol":<size>,"time":<ms>}"#,
        number: NumberPlace::Fraction("net_call_prem"),
        weight: 100,
        has_symbols: true,
        per_ticker: true,
    },
    Shape {
        channel: "market_tide",
        text: r#"{"timestamp":"<iso>","net_volume":<size>,"net_call_premium":"<premium>.<number>","net_put_premium":"-<premium>.0","otm_net_volume":0,"otm_net_call_premium":"0","otm_net_put_premium":"0"}"#,
        number: NumberPlace::Fraction("net_call_premium"),
        weight: 50,
        has_symbols: false,
        per_ticker: false,
    },
];

/// A channel without a documented shape here.
static OTHER: Shape = Shape {
    channel: "",
    text: r#"{"ticker":"<symbol>","timestamp":<ms>,"value":"<close>","volume":<cumulative>}"#,
    number: NumberPlace::Cumulative("volume"),
    weight: 100,
    has_symbols: false,
    per_ticker: true,
};

/// The 35 fields of the vendor's captures, in their order.
const OPTION_TRADE: &str = r#"{"id":"<uuid><number_hex>","underlying_symbol":"<symbol>","executed_at":<ms>,"nbbo_bid":"<bid>","nbbo_ask":"<ask>","size":<size>,"price":"<price>","option_symbol":"<occ>","created_at":<ms>,"report_flags":[],"tags":["<side>_side","<mood>"],"expiry":"<expiry>","option_type":"<type>","open_interest":<oi>,"strike":"<strike>","premium":"<premium>.00","volume":<volume>,"underlying_price":"<spot>","ewma_nbbo_ask":"<ask>","ewma_nbbo_bid":"<bid>","implied_volatility":"0.4932926790","delta":"0.478059345","theta":"-0.812269073","gamma":"0.013962149","vega":"0.191550775","rho":"0.029898811","theo":"<price>","trade_code":"<code>","exchange":"<exchange>","ask_vol":19475,"bid_vol":22307,"no_side_vol":2,"mid_vol":5159,"multi_vol":3256,"stock_multi_vol":6}"#;

const FLOW_ALERT: &str = r#"{"rule_id":"5ce5ec11-087c-4c00-b164-08106b015856","rule_name":"<rule>","ticker":"<symbol>","option_chain":"<occ>","underlying_price":<spot>,"volume":<volume>.0,"total_size":<size>.0,"total_premium":<premium>.0,"total_ask_side_prem":<premium>.0,"total_bid_side_prem":0.0,"start_time":<ms>,"end_time":<ms>,"url":"","price":<price>,"has_multileg":false,"has_sweep":false,"has_floor":false,"open_interest":<oi>.0,"all_opening_trades":false,"id":"<uuid><number_hex>","has_singleleg":true,"volume_oi_ratio":0.19,"trade_ids":["417f0cd6-09ae-4d43-8542-38557bb713aa","4af4c646-4b21-4a27-8326-db7b0698d3d8","74ddcd55-dcb3-4543-a488-16ee7ca91d45","4ec49859-74a2-4d32-9911-ea329dd77326","e164da3a-a6aa-41d9-a948-c17817453a21"],"trade_count":5,"expiry_count":1,"executed_at":<ms>,"ask_vol":52,"bid_vol":49,"no_side_vol":0,"mid_vol":5,"multi_vol":0,"stock_multi_vol":0,"upstream_condition_details":["auto","slan"],"exchanges":["XCBO","MPRL"],"bid":"<bid>","ask":"<ask>"}"#;

const GEX: &str = r#"{"ticker":"<symbol>","timestamp":<second_ms>,"gamma_per_one_percent_move_oi":"-262444980.<number>","delta_per_one_percent_move_oi":"","charm_per_one_percent_move_oi":"-1677926539943.<noise>","vanna_per_one_percent_move_oi":"2842602508.57","price":"<close>","gamma_per_one_percent_move_vol":"-934307209.<noise>","delta_per_one_percent_move_vol":"","charm_per_one_percent_move_vol":"-556207588704.10","vanna_per_one_percent_move_vol":"128814703.59","gamma_per_one_percent_move_dir":"-9372185.61","charm_per_one_percent_move_dir":"-2055997560.50","vanna_per_one_percent_move_dir":"-6220855.09"}"#;

/// The fields of a row, alike with and without expiry.
macro_rules! gex_row {
    ($expiry:literal) => {
        concat!(
            r#"{"ticker":"<symbol>","#,
            $expiry,
            r#""timestamp":<second_ms>,"call_gamma_oi":"174792.<number>","put_gamma_oi":"-1172037.<noise>","call_charm_oi":"85658181.72","put_charm_oi":"-315259003.37","call_vanna_oi":"-6103.51","put_vanna_oi":"1337727.64","call_gamma_vol":"15596.<noise>","put_gamma_vol":"-236.69","call_charm_vol":"-326871.58","put_charm_vol":"-68457.78","call_vanna_vol":"2063.13","put_vanna_vol":"845.06","strike":"<row_strike>","price":"<close>","call_gamma_ask_vol":"-4064.62","call_gamma_bid_vol":"11532.18","put_gamma_ask_vol":"-140.95","put_gamma_bid_vol":"95.73","call_charm_ask_vol":"85184.72","call_charm_bid_vol":"-241686.87","put_charm_ask_vol":"-59412.37","put_charm_bid_vol":"9045.42","call_vanna_ask_vol":"-537.66","call_vanna_bid_vol":"1525.46","put_vanna_ask_vol":"523.79","put_vanna_bid_vol":"-321.27"}"#
        )
    };
}

const GEX_STRIKE: &str = gex_row!("");
const GEX_STRIKE_EXPIRY: &str = gex_row!(r#""expiry":"<row_expiry>","#);

const EQUITY_TRADE: &str = r#"{"symbol":"<symbol>","price":"<close>","type":"<lit>","size":<size>,"volume":<cumulative>,"trade_settlement":"regular","trade_code":null,"ext_hour_sold_codes":null,"sale_cond_codes":null,"executed_at":"<iso>","nbbo_bid":"<close>","nbbo_ask":"<close>","nbbo_bid_quantity":500,"nbbo_ask_quantity":800,"sector":"Technology","next_earnings_date":null,"avg30_volume":"75000000.0","issue_type":"Common Stock","marketcap":"2400000000000.0"}"#;
