// What a new browser shows, so that the list explains itself.

export const SAMPLE_NOTES = [
  { id: 5, text: 'Fallen larch across the path below the second bridge', trail: 'Ridge Loop', done: false, addedOn: '2024-05-18' },
  { id: 4, text: 'Repaint the marker at the quarry fork', trail: 'Quarry Path', done: false, addedOn: '2024-05-16' },
  { id: 3, text: 'Drain is blocked, water runs over the steps', trail: 'Mill Brook', done: false, addedOn: '2024-05-12' },
  { id: 2, text: 'Replace the loose board on the lake lookout', trail: 'Lake Trail', done: true, addedOn: '2024-05-09' },
  { id: 1, text: 'Bring new maps to the box at the car park', trail: '', done: true, addedOn: '2024-05-04' },
];
