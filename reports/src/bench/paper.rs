//! The paper's figures, milliseconds: three nodes in three zones of one region, two virtual processors
//! each; etcd 3.3.9, Consul 1.4.0, ZooKeeper 3.4.13, Redis 5.0.3; clients in Python.

use locktest_history::{Backend, Recipe};

use super::{Contender, Keys};

/// The columns.
const PROCESSES: [u32; 3] = [1, 3, 5];

/// Average, median, least, greatest, 90th and 99th percentile, each by number of processes.
type Figures = [[f64; 3]; 6];

/// What the paper says, by the place of the figure in [`METRICS`](super::summary::METRICS). It does
/// not say whether acquires of the same key include the wait for the holder.
pub(super) fn figure(
    contender: &Contender,
    keys: Keys,
    processes: u32,
    metric: usize,
) -> Option<f64> {
    let of_the_paper = matches!(
        contender.recipe,
        Recipe::LockRpc | Recipe::Session | Recipe::EphemeralSequential | Recipe::Redlock
    );
    let column = PROCESSES.iter().position(|n| *n == processes).filter(|_| of_the_paper)?;
    // One client is one client.
    let keys = if processes == 1 { Keys::Different } else { keys };
    Some(figures(contender.backend, keys)?.get(metric)?[column])
}

#[rustfmt::skip]
fn figures(backend: Backend, keys: Keys) -> Option<Figures> {
    Some(match (backend, keys) {
        (Backend::Etcd, Keys::Different) => [
            [4.91, 6.8, 7.68], [4.66, 6.49, 7.33], [3.99, 4.43, 4.19],
            [20.97, 21.75, 28.43], [5.51, 8.32, 9.31], [9.38, 13.41, 16.1],
        ],
        (Backend::Consul, Keys::Different) => [
            [11.7, 13.6, 16.52], [11.5, 13.12, 16.01], [10.5, 10.42, 10.38],
            [28.3, 45.38, 119.71], [12.42, 16.09, 20.29], [15.09, 19.74, 25.07],
        ],
        (Backend::Zookeeper, Keys::Different) => [
            [3.64, 4.53, 5.9], [3.41, 4.4, 5.74], [2.86, 2.79, 2.76],
            [36.64, 15.35, 19.98], [4.3, 5.97, 7.4], [7.49, 7.65, 9.97],
        ],
        (Backend::Redis, Keys::Different) => [
            [1.2, 1.36, 1.3], [1.12, 1.26, 1.25], [0.95, 0.97, 0.98],
            [12.82, 14.13, 9.42], [1.32, 1.56, 1.49], [2.93, 3.37, 5.07],
        ],
        // The first column is that of different keys.
        (Backend::Etcd, Keys::Same) => [
            [4.91, 6.98, 7.6], [4.66, 6.48, 7.22], [3.99, 4.23, 4.16],
            [20.97, 38.7, 47.13], [5.51, 8.5, 9.16], [9.38, 14.14, 16.79],
        ],
        (Backend::Consul, Keys::Same) => [
            [11.7, 13.84, 16.36], [11.5, 13.49, 15.89], [10.5, 10.62, 10.18],
            [28.3, 151.96, 95.05], [12.42, 16.0, 20.85], [15.09, 20.1, 26.25],
        ],
        (Backend::Zookeeper, Keys::Same) => [
            [3.64, 4.82, 5.94], [3.41, 4.65, 5.79], [2.86, 2.84, 3.07],
            [36.64, 20.93, 19.98], [4.3, 6.3, 7.4], [7.49, 8.9, 10.17],
        ],
        (Backend::Redis, Keys::Same) => [
            [1.2, 3.78, 5.7], [1.12, 1.15, 1.1], [0.95, 0.96, 0.93],
            [12.82, 414.52, 411.2], [1.32, 1.3, 1.3], [2.93, 5.07, 203.87],
        ],
        (Backend::Sim, _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_ordered_as_percentiles_are() {
        for backend in [Backend::Etcd, Backend::Consul, Backend::Zookeeper, Backend::Redis] {
            for keys in [Keys::Different, Keys::Same] {
                let [_, median, min, max, p90, p99] = figures(backend, keys).expect("figures");
                for column in 0..3 {
                    let order = [min, median, p90, p99, max].map(|row| row[column]);
                    assert!(order.is_sorted(), "{backend} {keys:?}: {order:?}");
                }
            }
        }
    }
}
