//! Settings of `kithkin node`: defaults, then the file, then the environment, then flags; checked once.
//!
//! The keys and what they mean stand in `config/node.toml`. A key `client_listen` is the variable
//! `KITHKIN_NODE_CLIENT_LISTEN` in the environment; `peers` and `limits` can only stand in the file. Paths in the file are relative to it.

mod layer;

use crate::cli::NodeArgs;
use crate::commands::Failure;
use anyhow::Context as _;
use kithkin_actors::limits::Limits;
use kithkin_actors::peer::Multiaddr;
use layer::{Layer, checked, read_env};
use std::path::Path;

pub(super) use layer::{Observer, Settings};

impl Settings {
    /// Puts the layers together and checks the result.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub(super) fn resolve(
        args: &NodeArgs,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Failure> {
        let layers = || {
            let file = match &args.config {
                Some(path) => read_file(path)?,
                None => Layer::default(),
            };
            checked(
                from_args(args).over(read_env(env)?).over(file),
                args.quarantine,
            )
        };
        layers().map_err(Failure::Usage)
    }
}

fn from_args(args: &NodeArgs) -> Layer {
    Layer {
        genesis: args.genesis.clone(),
        keys: args.keys.clone(),
        data: args.data.clone(),
        listen: (!args.listen.is_empty()).then(|| args.listen.clone()),
        client_listen: args.client_listen.clone(),
        json: args.json.then_some(true),
        ..Layer::default()
    }
}

fn read_file(path: &Path) -> anyhow::Result<Layer> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the settings file {shown} cannot be read"))?;
    let layer: Layer = Layer::from_toml(&text).with_context(|| {
        format!(
            "the settings file {shown} is not as it should be; config/node.toml shows every key"
        )
    })?;
    Ok(layer.in_folder(path.parent().unwrap_or(Path::new("."))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn file(text: &str) -> anyhow::Result<Settings> {
        let layer = Layer::from_toml(text)?;
        checked(layer.in_folder(Path::new("/etc/kithkin")), false)
    }

    #[test]
    fn the_example_in_the_repository_is_a_valid_file() {
        let settings = file(include_str!("../../../config/node.toml")).unwrap();
        assert_eq!(settings.genesis, Path::new("/etc/kithkin/genesis.toml"));
        assert_eq!(settings.peers.len(), 3);
        assert_eq!(settings.listen.len(), 2);
        // What is shown is what is usual.
        assert_eq!(settings.limits, Limits::default());
        assert_eq!(settings.client_listen, "127.0.0.1:4800".parse().ok());
    }

    #[test]
    fn who_may_follow_and_with_which_keys_to_go_on() {
        let text = "data = 'a'\nkeys = 'b'\ngenesis = 'c'\nlisten = []\nvalidator = 4\nnext_keys = 'd'\n[observers.one]\n\
             keys = 'one'\n[observers.two]\nkeys = '/two.toml'\naddresses = ['/ip4/192.0.2.9/tcp/4700']";
        let settings = file(text).unwrap();
        assert_eq!(settings.validator.map(|id| id.0), Some(4));
        assert_eq!(settings.next_keys, Some(PathBuf::from("/etc/kithkin/d")));
        let [one, two] = ["one", "two"].map(|name| settings.observers[name].clone());
        assert_eq!(
            (one.keys, one.addresses.len()),
            (PathBuf::from("/etc/kithkin/one"), 0)
        );
        assert_eq!(
            (two.keys, two.addresses.len()),
            (PathBuf::from("/two.toml"), 1)
        );
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let below = Layer::from_toml("data = 'a'\nkeys = 'b'\ngenesis = 'c'\nlisten = []").unwrap();
        let env = [
            ("KITHKIN_NODE_DATA".to_owned(), "from-env".to_owned()),
            ("KITHKIN_NODE_KEYS".to_owned(), "from-env".to_owned()),
        ];
        let flags = Layer {
            keys: Some("from-flag".into()),
            ..Layer::default()
        };
        let layer = flags.over(read_env(env.into_iter()).unwrap()).over(below);
        let settings = checked(layer, false).unwrap();
        let paths = [settings.genesis, settings.data, settings.keys];
        assert_eq!(paths, ["c", "from-env", "from-flag"].map(PathBuf::from));
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        let whole = "data = 'a'\nkeys = 'b'\ngenesis = 'c'\n";
        for (text, words) in [
            ("", "no address to listen on"),
            ("listen = ['127.0.0.1:80']", "is no address of a node"),
            ("listen = []\nclient_listen = 'x'", "client_listen"),
            ("listen = []\nheartbeat_ms = 0", "above 0"),
            (
                "listen = []\n[limits]\nclients_max = 0",
                "clients_max must be",
            ),
            ("listen = []\n[limits]\nclients = 1", "unknown field"),
            ("listen = []\n[observers.a]", "missing field"),
            (
                "listen = []\n[observers.a]\nkeys = 'k'\nweight = 1",
                "unknown field",
            ),
            (
                "listen = []\n[observers.a]\nkeys = 'k'\naddresses = ['x']",
                "is no address",
            ),
            ("listen = []\n[peers]\nfirst = []", "no validator's number"),
        ] {
            let error = file(&format!("{whole}{text}")).unwrap_err();
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
        assert!(file("unknown = 1").is_err());
        let env = [("KITHKIN_NODE_UNKNOWN".to_owned(), "1".to_owned())];
        assert!(read_env(env.into_iter()).is_err());
    }
}
