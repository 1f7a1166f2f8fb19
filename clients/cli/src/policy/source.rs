//! The flows that policies are held against: of a server, or of a file.

use std::ops::ControlFlow;

use clap::Args;
use futures::TryStreamExt as _;
use prost_types::Timestamp;
use sextant_flows::flow::Flow;
use sextant_proto::observer::{
    GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes,
    observer_client::ObserverClient,
};

use crate::{
    call,
    connect::{Channel, Server, client},
    connection::Connection,
    filter::FilterArgs,
    input::{self, InputArgs, Wanted},
    time::{self, TimeError},
};

/// Which flows.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Only flows of this time or later: how long ago (3s, 1h43m) or when (2006-01-02T15:04:05Z)
    /// [default: all that there are]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only flows of this time or earlier.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filters: FilterArgs,
}

impl SourceArgs {
    /// Whether a server has them, and no file.
    pub(super) fn is_of_server(&self) -> bool {
        self.input.input().is_none()
    }

    /// Which, as a server is asked for them.
    pub(super) fn request(&self) -> anyhow::Result<GetFlowsRequest> {
        let (since, until) = (point(self.since.as_ref())?, point(self.until.as_ref())?);
        let filters = self.filters.filters()?;
        Ok(GetFlowsRequest {
            whitelist: filters.whitelist,
            blacklist: filters.blacklist,
            since,
            until,
            // Without a time all of them, as `hubble observe --all` asks for.
            number: if since.is_none() { u64::MAX } else { 0 },
            ..GetFlowsRequest::default()
        })
    }

    /// Shows each flow; tells how many were lost on the way.
    pub(super) async fn each(
        &self,
        connection: &Connection,
        mut see: impl FnMut(&Flow),
    ) -> anyhow::Result<u64> {
        let request = self.request()?;
        let filters = self.filters.filters()?;
        let mut wanted = Wanted::new(&filters, request.since, request.until)?;
        let Some(input) = self.input.input() else {
            let server = Server::reading(connection).await?;
            return ask(&server, request, &mut wanted, see).await;
        };
        let mut lost = 0;
        input::each(input, |response| {
            lost += lost_by(&response);
            if wanted.takes(&response).map_err(std::io::Error::other)?
                && let Some(flow) = wanted.flow(response)
            {
                see(&flow);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(lost)
    }
}

fn point(text: Option<&String>) -> Result<Option<Timestamp>, TimeError> {
    let point = |text: &String| time::point(text, jiff::Timestamp::now());
    text.map(point).transpose()
}

async fn ask(
    server: &Server,
    request: GetFlowsRequest,
    wanted: &mut Wanted,
    mut see: impl FnMut(&Flow),
) -> anyhow::Result<u64> {
    let failed = call::failed("get the flows of", server);
    let mut client = client!(ObserverClient<Channel>, server);
    let flows = client.get_flows(request).await.map_err(&failed)?;
    let mut flows = flows.into_inner();
    let mut lost = 0;
    while let Some(response) = flows.try_next().await.map_err(&failed)? {
        lost += lost_by(&response);
        if let Some(flow) = wanted.flow(response) {
            see(&flow);
        }
    }
    Ok(lost)
}

fn lost_by(response: &GetFlowsResponse) -> u64 {
    match &response.response_types {
        Some(ResponseTypes::LostEvents(lost)) => lost.num_events_lost,
        _ => 0,
    }
}
