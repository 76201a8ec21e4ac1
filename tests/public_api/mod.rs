//! The crate's public interface, as its source declares it: every item that a user can name, with its
//! documentation.
//!
//! `pub` alone does not make an item public: it is reached from the root of the crate through public modules
//! and `pub use`, or nobody outside can name it. Knows as much of name resolution as that takes.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, TraitItem, Type, UseTree, Visibility};

/// A public item.
pub struct PublicItem {
    /// Module of its definition, type and name, such as `object::context::Context::send`.
    pub path: String,
    pub kind: Kind,
    pub docs: String,
    /// What else is documented where it is: its type with all that belongs to it, and the public modules that
    /// name it or its type.
    pub around: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Function,
    /// Also an associated function.
    Method,
    /// Of a trait: whoever implements it writes it.
    TraitMethod,
    Constant,
    Type,
    /// A type without a variant, a public field or a public method.
    OpaqueType,
    Trait,
    Macro,
}

impl PublicItem {
    pub fn name(&self) -> &str {
        self.path.rsplit("::").next().unwrap_or_default()
    }
}

/// The modules of a crate by their paths; the root is the empty one.
pub struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    docs: String,
    items: Vec<Item>,
    uses: Vec<Import>,
}

/// One name that a `use` brings.
struct Import {
    name: String,
    path: Vec<String>,
    is_public: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Module(Vec<String>),
    /// The module of the definition, and its place in it.
    Item(Vec<String>, usize),
}

impl Crate {
    /// Reads a crate from `src/lib.rs`; `text_of` gives the text of a file that exists.
    pub fn read(text_of: &dyn Fn(&str) -> Option<String>) -> Crate {
        let mut crate_ = Crate { modules: BTreeMap::new() };
        let text = text_of("src/lib.rs").expect("src/lib.rs");
        let root = syn::parse_file(&text).expect("src/lib.rs is Rust");
        crate_.add(Vec::new(), "src", docs_of(&root.attrs), root.items, text_of);
        crate_
    }

    /// Adds a module whose own modules lie in `folder`.
    fn add(
        &mut self,
        path: Vec<String>,
        folder: &str,
        docs: String,
        mut items: Vec<Item>,
        text_of: &dyn Fn(&str) -> Option<String>,
    ) {
        items.retain(|item| !is_for_tests(attributes_of(item)));
        let mut uses = Vec::new();
        for item in &mut items {
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let path = [&path[..], std::slice::from_ref(&name)].concat();
                    let inner = format!("{folder}/{name}");
                    let outer_docs = docs_of(&module.attrs);
                    let (docs, items) = match module.content.take() {
                        Some((_, items)) => (outer_docs, items),
                        None => {
                            let files = [format!("{inner}.rs"), format!("{inner}/mod.rs")];
                            let text = files.iter().find_map(|file| text_of(file));
                            let text = text.unwrap_or_else(|| panic!("none of {files:?}"));
                            let file =
                                syn::parse_file(&text).unwrap_or_else(|error| panic!("{inner}: {error}"));
                            (outer_docs + &docs_of(&file.attrs), file.items)
                        }
                    };
                    self.add(path, &inner, docs, items, text_of);
                }
                Item::Use(import) => {
                    let is_public = is_public(&import.vis);
                    unfold(&import.tree, &mut Vec::new(), &mut |name, path| {
                        assert!(
                            !(is_public && name == "*"),
                            "what `pub use {path:?}::*` brings is not known here"
                        );
                        uses.push(Import { name, path, is_public });
                    });
                }
                _ => {}
            }
        }
        self.modules.insert(path, Module { docs, items, uses });
    }

    /// Every public item, each once, by its path.
    pub fn public_items(&self) -> Vec<PublicItem> {
        let mut named_in = BTreeMap::new();
        self.walk(&[], &mut BTreeSet::new(), &mut named_in);
        let mut public = Vec::new();
        for ((module, index), modules) in &named_in {
            let around: Vec<String> = modules.iter().map(|path| self.modules[path].docs.clone()).collect();
            self.describe(module, &self.modules[module].items[*index], around, &mut public);
        }
        public.sort_by(|one, other| one.path.cmp(&other.path));
        public
    }

    /// Notes each definition that a public module names, with these modules.
    fn walk(
        &self,
        path: &[String],
        seen: &mut BTreeSet<Vec<String>>,
        named_in: &mut BTreeMap<(Vec<String>, usize), BTreeSet<Vec<String>>>,
    ) {
        if !seen.insert(path.to_vec()) {
            return;
        }
        let module = &self.modules[path];
        let mut found: Vec<Found> = (0..module.items.len())
            .filter(|&index| is_public_item(&module.items[index]))
            .map(|index| match &module.items[index] {
                Item::Mod(inner) => Found::Module([path, &[inner.ident.to_string()]].concat()),
                _ => Found::Item(path.to_vec(), index),
            })
            .collect();
        for import in module.uses.iter().filter(|import| import.is_public) {
            found.extend(self.resolve(path, &import.path));
        }
        for found in found {
            match found {
                Found::Module(inner) => self.walk(&inner, seen, named_in),
                Found::Item(module, index) => {
                    named_in.entry((module, index)).or_default().insert(path.to_vec());
                }
            }
        }
    }

    /// What a path means in a module; `None` when it leads out of the crate.
    fn resolve(&self, module: &[String], path: &[String]) -> Option<Found> {
        let mut at = Found::Module(module.to_vec());
        for (position, name) in path.iter().enumerate() {
            let Found::Module(module) = &at else { return Some(at) };
            at = match name.as_str() {
                "crate" => Found::Module(Vec::new()),
                "self" => continue,
                "super" => Found::Module(module[..module.len() - 1].to_vec()),
                name => match self.find(module, name) {
                    Some(found) => found,
                    None if position == 0 => return None,
                    None => panic!("{path:?} leads nowhere from {module:?}"),
                },
            };
        }
        Some(at)
    }

    /// What a name means in a module.
    fn find(&self, path: &[String], name: &str) -> Option<Found> {
        let module = &self.modules[path];
        if let Some(index) = module.items.iter().position(|item| name_of(item).as_deref() == Some(name)) {
            return Some(match &module.items[index] {
                Item::Mod(_) => Found::Module([path, &[name.to_owned()]].concat()),
                _ => Found::Item(path.to_vec(), index),
            });
        }
        let import = module.uses.iter().find(|import| import.name == name)?;
        // `use serde;`: a name that begins its own path is another crate's.
        if import.path.first().is_some_and(|first| first == name) {
            return None;
        }
        self.resolve(path, &import.path)
    }

    /// Lists a definition, and what belongs to it.
    fn describe(&self, module: &[String], item: &Item, around: Vec<String>, public: &mut Vec<PublicItem>) {
        let name = name_of(item).expect("only what has a name is public");
        let path = [module, &[name]].concat().join("::");
        let docs = docs_of(attributes_of(item));
        let mut members = Vec::new();
        let kind = match item {
            Item::Fn(_) => Kind::Function,
            Item::Const(_) | Item::Static(_) => Kind::Constant,
            Item::Macro(_) => Kind::Macro,
            Item::Trait(item) => {
                members.extend(item.items.iter().filter_map(trait_member));
                Kind::Trait
            }
            Item::Type(_) => Kind::Type,
            _ => {
                let itself = self.find(module, path.rsplit("::").next().unwrap_or_default());
                members = self.members_of(&itself.expect("it was found before"));
                let is_opaque = match item {
                    Item::Struct(item) => !item.fields.iter().any(|field| is_public(&field.vis)),
                    Item::Enum(item) => item.variants.is_empty(),
                    _ => false,
                };
                if is_opaque && members.is_empty() { Kind::OpaqueType } else { Kind::Type }
            }
        };
        let of_members = members.iter().map(|(_, _, docs)| docs.clone());
        let around_members: Vec<String> = around.iter().chain([&docs]).cloned().chain(of_members).collect();
        public.extend(members.into_iter().map(|(name, kind, docs)| PublicItem {
            path: format!("{path}::{name}"),
            kind,
            docs,
            around: around_members.clone(),
        }));
        public.push(PublicItem { path, kind, docs, around });
    }

    /// What the `impl` blocks of a type, wherever they stand, make public beside its traits.
    fn members_of(&self, of: &Found) -> Vec<(String, Kind, String)> {
        let mut members = Vec::new();
        for (path, module) in &self.modules {
            let blocks = module.items.iter().filter_map(|item| match item {
                Item::Impl(block) if block.trait_.is_none() => Some(block),
                _ => None,
            });
            for block in blocks {
                let Type::Path(type_) = &*block.self_ty else { continue };
                let type_: Vec<String> =
                    type_.path.segments.iter().map(|part| part.ident.to_string()).collect();
                if self.resolve(path, &type_).as_ref() == Some(of) {
                    members.extend(block.items.iter().filter_map(inherent_member));
                }
            }
        }
        members
    }
}

fn inherent_member(item: &ImplItem) -> Option<(String, Kind, String)> {
    match item {
        ImplItem::Fn(item) if is_public(&item.vis) => {
            Some((item.sig.ident.to_string(), Kind::Method, docs_of(&item.attrs)))
        }
        ImplItem::Const(item) if is_public(&item.vis) => {
            Some((item.ident.to_string(), Kind::Constant, docs_of(&item.attrs)))
        }
        _ => None,
    }
}

fn trait_member(item: &TraitItem) -> Option<(String, Kind, String)> {
    match item {
        TraitItem::Fn(item) => Some((item.sig.ident.to_string(), Kind::TraitMethod, docs_of(&item.attrs))),
        TraitItem::Const(item) => Some((item.ident.to_string(), Kind::Constant, docs_of(&item.attrs))),
        TraitItem::Type(item) => Some((item.ident.to_string(), Kind::Type, docs_of(&item.attrs))),
        _ => None,
    }
}

/// Tells of each name that a `use` brings, and of the path behind it; `*` for all names.
fn unfold(tree: &UseTree, path: &mut Vec<String>, tell: &mut dyn FnMut(String, Vec<String>)) {
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            unfold(&tree.tree, path, tell);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| unfold(tree, path, tell)),
        UseTree::Glob(_) => tell("*".into(), path.clone()),
        UseTree::Name(tree) if tree.ident == "self" => {
            tell(path.last().cloned().unwrap_or_default(), path.clone());
        }
        UseTree::Name(tree) => {
            tell(tree.ident.to_string(), [&path[..], &[tree.ident.to_string()]].concat());
        }
        UseTree::Rename(tree) => {
            tell(tree.rename.to_string(), [&path[..], &[tree.ident.to_string()]].concat());
        }
    }
}

/// The name of what can be public and is no `use`.
fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Mod(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

fn is_public_item(item: &Item) -> bool {
    is_public(match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        Item::Macro(item) => {
            return item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
        }
        _ => return false,
    })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => {
            let condition = list.tokens.to_string();
            list.path.is_ident("cfg") && ["test", "feature = \"planted-bugs\""].contains(&&*condition)
        }
        _ => false,
    })
}

/// The documentation, line by line, without the space behind the slashes.
fn docs_of(attributes: &[Attribute]) -> String {
    let mut docs = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(meta) = &attribute.meta
            && let Expr::Lit(literal) = &meta.value
            && let Lit::Str(text) = &literal.lit
        {
            let text = text.value();
            docs.push_str(text.strip_prefix(' ').unwrap_or(&text));
            docs.push('\n');
        }
    }
    docs
}
