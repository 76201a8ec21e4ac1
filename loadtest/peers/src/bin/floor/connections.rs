//! The connections and the rooms they are in.

use slab::Slab;
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// Connections there is room for from the start, so that memory does not move while something is measured.
const CONNECTIONS: usize = 65_536;

/// Where a connection is.
#[derive(Clone, Copy)]
pub enum Place {
    /// Nowhere yet.
    Handshake,
    /// On `/echo`.
    Echo,
    /// In the room of this number.
    Room(u32),
}

struct Connection {
    socket: OwnedFd,
    place: Place,
    /// Its index in the room.
    at: u32,
}

/// All of them.
pub struct Connections {
    all: Slab<Connection>,
    rooms: Vec<Vec<u32>>,
    names: HashMap<Vec<u8>, u32>,
}

impl Connections {
    pub fn new() -> Self {
        Self { all: Slab::with_capacity(CONNECTIONS), rooms: Vec::new(), names: HashMap::new() }
    }

    /// Takes a new one in; returns its number.
    pub fn insert(&mut self, socket: OwnedFd) -> usize {
        self.all.insert(Connection { socket, place: Place::Handshake, at: 0 })
    }

    pub fn socket(&self, number: usize) -> &OwnedFd {
        &self.all[number].socket
    }

    pub fn place(&self, number: usize) -> Place {
        self.all[number].place
    }

    /// The connections in a room.
    pub fn members(&self, room: u32) -> &[u32] {
        &self.rooms[room as usize]
    }

    /// Puts a connection where `path` says.
    pub fn enter(&mut self, number: usize, path: &[u8]) {
        let connection = &mut self.all[number];
        if path == b"/echo" {
            connection.place = Place::Echo;
            return;
        }
        let next = self.rooms.len() as u32;
        let room = *self.names.entry(path.to_vec()).or_insert(next);
        if room == next {
            self.rooms.push(Vec::new());
        }
        let members = &mut self.rooms[room as usize];
        connection.place = Place::Room(room);
        connection.at = members.len() as u32;
        members.push(number as u32);
    }

    /// Takes a connection out of its room and closes it.
    pub fn remove(&mut self, number: usize) {
        let Connection { place, at, .. } = self.all.remove(number);
        let Place::Room(room) = place else { return };
        let members = &mut self.rooms[room as usize];
        members.swap_remove(at as usize);
        if let Some(moved) = members.get(at as usize) {
            self.all[*moved as usize].at = at;
        }
    }
}
