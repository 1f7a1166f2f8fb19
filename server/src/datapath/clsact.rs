//! The clsact qdisc, where TCX is missing.

use futures::TryStreamExt as _;
use netlink_packet_route::tc::{TcHandle, TcMessage};
use rtnetlink::Handle;

/// `TC_H_CLSACT`, the parent of the qdisc (linux/pkt_sched.h).
const CLSACT: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0xfff1,
};

/// Removes the qdisc of an interface if no filter is on it.
pub(super) async fn remove_if_empty(handle: &Handle, index: u32) {
    let index = index as i32;
    match filters(handle, index).await {
        Ok(0) => {}
        Ok(_) => return,
        Err(error) => {
            tracing::debug!(index, %error, "filters not listed; qdisc left");
            return;
        }
    }
    let mut request = handle.qdisc().del(index);
    *request.message_mut() = TcMessage::with_index(index);
    request.message_mut().header.parent = CLSACT;
    request.message_mut().header.handle = TcHandle {
        major: 0xffff,
        minor: 0,
    };
    if let Err(error) = request.execute().await {
        tracing::debug!(index, %error, "clsact qdisc not removed");
    }
}

async fn filters(handle: &Handle, index: i32) -> Result<usize, rtnetlink::Error> {
    let ingress: Vec<_> = handle
        .traffic_filter(index)
        .get()
        .ingress()
        .execute()
        .try_collect()
        .await?;
    let egress: Vec<_> = handle
        .traffic_filter(index)
        .get()
        .egress()
        .execute()
        .try_collect()
        .await?;
    Ok(ingress.len() + egress.len())
}
