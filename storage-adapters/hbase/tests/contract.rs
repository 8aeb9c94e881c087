//! What every row store is held to, on a real HBase.

mod support;

mod suite {
    use sluice_hbase::HbaseRows;

    use super::support;

    /// Makes a test of each function of the suite that needs the real engine.
    macro_rules! on_the_real_engine {
        ($($name:ident),+ $(,)?) => {
            const NAMES: &[&str] = &[$(stringify!($name)),+];

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
                async fn $name() {
                    sluice_seams::contract::row_store::$name(fresh).await;
                }
            )+
        };
    }

    fn fresh() -> impl Fn() -> HbaseRows {
        let config = support::config(&support::Services::shared().servers, support::prefix());
        move || support::open(&config)
    }

    on_the_real_engine!(
        an_empty_store_answers,
        pages_run_newest_first,
        equal_times_page_by_key,
        days_are_merged_by_corrected_time,
        rows_come_back_whole,
        users_and_apps_are_apart,
        timelines_take_writes_again,
        profile_cells_are_free_of_order,
        unset_hides_what_came_before,
        profiles_show_every_kind,
        seen_keeps_both_ends,
        what_cannot_be_kept_is_refused,
        contains_finds_the_row,
        dropped_days_go_profiles_stay,
        everything_survives,
        closed_takes_no_more,
    );

    /// A function that joins the suite joins the list above.
    #[test]
    fn no_function_of_the_suite_is_left_out() {
        let suite = include_str!("../../seams/src/contract/row_store.rs");
        let functions = suite.lines().filter_map(|line| line.strip_prefix("pub async fn "));
        let functions: Vec<_> = functions.filter_map(|line| line.split('<').next()).collect();
        assert_eq!(functions, NAMES);
    }
}
